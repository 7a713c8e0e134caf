//! A node: the door, the log, the worker's keeper and what is served, in one process.
//!
//! The data path is door → [`commit`] (the log's thread) → [`supervise`] (the worker, a process of
//! its own) → [`Served`] → HTTP. Each arrow is a bounded queue or the latest of something; nothing
//! upstream waits for anything downstream.

pub mod checkpoints;
pub mod commit;
pub mod health;
pub mod metrics;
mod progress;
pub mod status;
pub mod supervise;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Told;
use crate::config::{Config, Flags, History};
use crate::dashboard;
use crate::door::{self, Door};
use crate::http::explain::{self, Asking};
use crate::http::listen::{self, Bounded};
use crate::http::live::Live;
use crate::http::{self, problem};
use crate::mesh::Mesh;
use crate::tether;
use crate::views::{Bounds, Keeping, Published, Served};
use checkpoints::Maker;
use commit::{LogError, Work};
use health::Health;
use status::Status;
use supervise::{Post, Supervisor};

/// How long open connections may take to end when the node stops.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(2);

/// How long the log and the worker may take to end after that. A log that is still being recovered
/// is left alone: nothing of it is changed before all of it is checked.
const THREADS_GRACE: Duration = Duration::from_secs(5);

/// `otklik serve`: a node, until it is told to stop.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// Configuration file (TOML); its keys are those of config/default.toml
    #[arg(long, value_name = "FILE", env = "OTKLIK_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of the log, also OTKLIK_DATA [default: otklik-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port to listen on, also OTKLIK_LISTEN [default: 127.0.0.1:8140]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Threads of the dataflow, also OTKLIK_WORKERS [default: 1]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// The nodes of the cluster, each as the others reach it, also OTKLIK_CLUSTER_HOSTS
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    hosts: Option<Vec<String>>,
    /// Which of them this is, from 0, also OTKLIK_CLUSTER_PROCESS
    #[arg(long, value_name = "I")]
    process: Option<usize>,
}

/// Why a node does not run, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Other nodes cannot be listened to.
    #[error("cannot take part in the cluster")]
    Mesh(#[source] io::Error),
    /// A thread cannot be had.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Runs a node until SIGTERM or Ctrl-C. A second signal ends the process at once, with 1.
///
/// # Errors
/// The configuration is wrong, or [`NodeError`].
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let ServeArgs { config, data, listen, workers, hosts, process } = args.clone();
    let flags = Flags { listen, data, workers, hosts, process };
    let config = Config::load(config.as_deref(), std::env::vars(), flags)?;
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    tether::tie();
    allow_files();
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let ended = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let node = start(config, program).await?;
        let stop = node.stop.clone();
        tokio::spawn(progress::show(Arc::clone(&node.status)));
        tokio::spawn(async move {
            for signals in 0.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                match signals {
                    0 => stop.cancel(),
                    _ => std::process::exit(1),
                }
            }
        });
        node.ended().await.map_err(anyhow::Error::from)
    });
    // Not waiting: a connection or a log that hangs must not keep the process.
    runtime.shutdown_background();
    ended
}

/// A node that runs in this process.
#[derive(Debug)]
pub struct Running {
    /// Where it listens; the port is the real one where 0 was asked for.
    pub address: SocketAddr,
    /// What is served, for who is in the same process.
    pub served: Arc<Served>,
    /// How it stands.
    pub status: Arc<Status>,
    /// Cancelling this stops the node.
    pub stop: CancellationToken,
    ended: JoinHandle<Result<(), NodeError>>,
}

impl Running {
    /// Waits for the end of the node: after `stop`, or because it failed.
    ///
    /// # Errors
    /// [`NodeError`], if it failed.
    pub async fn ended(self) -> Result<(), NodeError> {
        self.ended.await.expect("the task that ends a node is not cancelled and does not panic")
    }
}

/// Starts a node. It listens when this returns; the log is opened meanwhile, and what goes wrong
/// there ends the node ([`Running::ended`]). `program` is the executable of the worker.
///
/// # Errors
/// [`NodeError::Listen`], [`NodeError::Thread`].
pub async fn start(config: Config, program: PathBuf) -> Result<Running, NodeError> {
    let listening = |source| NodeError::Listen { address: config.listen, source };
    let listener = listen::bind(config.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    announce(&config, address);

    let stop = CancellationToken::new();
    let status = Arc::new(Status::default());
    let served = Arc::new(served(&config).await);
    let supervisor = Arc::new(Supervisor::default());
    let (log, queue) = sync_channel(config.limits.requests);
    let door = Arc::new(Door::new(config.limits.clone(), log.clone(), Arc::clone(&status)));
    let live = Arc::new(Live::new(&config.live, config.epoch_ms, stop.child_token()));
    let told = Arc::new(Told::default());
    // What is served of an epoch stays true: whatever the clock says, events are of later ones.
    told.at_least(served.goes_on_from().map_or(0, |epoch| epoch + 1));
    let mesh = if config.cluster.is_set() {
        let parts = (Arc::clone(&told), Arc::clone(&status), Arc::clone(&supervisor));
        let mesh = Mesh::start(&config, address, parts.0, parts.1, parts.2, log.clone());
        Some(mesh.map_err(NodeError::Mesh)?)
    } else {
        None
    };
    let health = Arc::new(Health {
        status: Arc::clone(&status),
        door: Arc::clone(&door),
        supervisor: Arc::clone(&supervisor),
        served: Arc::clone(&served),
        live: Arc::clone(&live),
        mesh: mesh.clone(),
        address,
        rules: config.rules.clone(),
    });
    let asking = Asking {
        served: Arc::clone(&served),
        supervisor: Arc::clone(&supervisor),
        mesh: mesh.clone(),
        epoch_ms: config.epoch_ms,
        rules: config.rules.clone(),
    };
    let routes = http::routes(Arc::clone(&served), live)
        .merge(explain::routes(asking))
        .merge(door::routes(door))
        .merge(health::routes(health))
        .merge(dashboard::routes())
        .fallback(problem::not_found);
    let routes = http::answers(routes);
    let listener = Bounded::new(listener, &config.limits);

    let config = Arc::new(config);
    let log_ended = {
        let (config, status) = (Arc::clone(&config), Arc::clone(&status));
        let (supervisor, mesh) = (Arc::clone(&supervisor), mesh.clone());
        thread("log", move || {
            let mesh = mesh.as_deref();
            let (config, status, supervisor) = (&config, &status, &supervisor);
            commit::run(&commit::Post { config, status, supervisor, told, mesh }, &queue)
        })?
    };
    let maker = Maker::default();
    let made = {
        let (config, status) = (Arc::clone(&config), Arc::clone(&status));
        let (supervisor, maker, program) =
            (Arc::clone(&supervisor), maker.clone(), program.clone());
        // A node of a cluster has only a part of what a record's fate depends on.
        let is_alone = mesh.is_none();
        thread("checkpoints", move || {
            if !is_alone {
                return;
            }
            checkpoints::run(&config, &program, &status, &supervisor, &maker);
        })?
    };
    let worker_ended = {
        let (served, status) = (Arc::clone(&served), Arc::clone(&status));
        let (supervisor, mesh) = (Arc::clone(&supervisor), mesh.clone());
        thread("supervisor", move || {
            supervisor.run(&Post {
                config: &config,
                program: &program,
                served: &served,
                status: &status,
                mesh: mesh.as_deref(),
            });
        })?
    };
    let parts = Parts {
        stop: stop.clone(),
        status: Arc::clone(&status),
        supervisor,
        mesh,
        log,
        maker,
        made,
    };
    let ended = tokio::spawn(parts.until_the_end(listener, routes, log_ended, worker_ended));
    Ok(Running { address, served, status, stop, ended })
}

/// Lets the process have as many files open as it may: each connection is one, and what systems
/// give a process at first is a thousand.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!("the number of open files stays at {:?}: {error}", limit.current);
    }
}

/// What is served, with the history of the node before.
async fn served(config: &Config) -> Served {
    let History { changes, seconds, bytes, published_seconds, published_bytes } = config.history;
    let interval_epochs = (published_seconds * 1000).div_ceil(config.epoch_ms);
    let keeping = Keeping { interval_epochs, bytes_max: published_bytes };
    let bounds = Bounds { changes_max: changes, epochs_max: seconds * 1000 / config.epoch_ms };
    let directory = config.data.join("history");
    let reading = move || {
        let published = Published::open(&directory.join("published"), keeping);
        Served::keep(&directory, bytes, bounds).and(published)
    };
    tokio::task::spawn_blocking(reading).await.expect("it does not panic")
}

fn announce(config: &Config, address: SocketAddr) {
    let Config { data, rules, workers, .. } = config;
    info!("listening on http://{address}");
    match address.ip().is_loopback() {
        true => info!("listening on loopback only: access control is not there yet"),
        false => warn!(
            "access control is not there yet: whoever reaches {address} can send events and read \
             every figure"
        ),
    }
    info!("data in {}, {workers} worker threads", data.display());
    info!("rules in force: integral = {}, attribution = {}", rules.integral, rules.attribution);
    if rules.horizon_days > 0 {
        info!("records close {} days after their last message", rules.horizon_days);
    }
}

/// Starts a thread, and yields what it comes to.
fn thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, NodeError> {
    let (ended, end) = oneshot::channel();
    let run = move || {
        // Nobody is left to hear of it where the process is ending.
        let _ = ended.send(run());
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(NodeError::Thread)?;
    Ok(end)
}

/// What ends with the node.
struct Parts {
    stop: CancellationToken,
    status: Arc<Status>,
    supervisor: Arc<Supervisor>,
    mesh: Option<Arc<Mesh>>,
    log: SyncSender<Work>,
    maker: Maker,
    made: oneshot::Receiver<()>,
}

impl Parts {
    /// Serves until the node is told to stop or its log fails, and then ends everything in order:
    /// first what comes in, then the log, at last the worker.
    async fn until_the_end(
        self,
        listener: Bounded,
        routes: Router,
        mut log_ended: oneshot::Receiver<Result<(), LogError>>,
        worker_ended: oneshot::Receiver<()>,
    ) -> Result<(), NodeError> {
        let server = tokio::spawn(listen::serve(listener, routes, self.stop.clone()));
        let failed = tokio::select! {
            () = self.stop.cancelled() => None,
            ended = &mut log_ended => Some(ended.expect("the log's thread does not panic")),
        };
        info!("stopping");
        self.status.stopping();
        self.stop.cancel();
        let outcome = match failed {
            Some(outcome) => outcome,
            None => {
                // Whatever is left of it then is a connection that somebody holds open.
                let _ = tokio::time::timeout(CONNECTIONS_GRACE, server).await;
                self.finish_log(log_ended).await
            }
        };
        self.supervisor.stop();
        if let Some(mesh) = &self.mesh {
            mesh.stop();
        }
        self.maker.kill();
        if tokio::time::timeout(THREADS_GRACE, self.made).await.is_err() {
            warn!("the process that makes a checkpoint did not end, and is left to itself");
        }
        if tokio::time::timeout(THREADS_GRACE, worker_ended).await.is_err() {
            warn!("the worker did not end, and is left to notice that the node is gone");
        }
        info!("stopped");
        Ok(outcome?)
    }

    async fn finish_log(
        &self,
        ended: oneshot::Receiver<Result<(), LogError>>,
    ) -> Result<(), LogError> {
        let log = self.log.clone();
        let finishing = async move {
            // The queue may be full, and waiting for it must not hold up a thread that serves.
            let sent = tokio::task::spawn_blocking(move || log.send(Work::Finish)).await;
            drop(sent);
            ended.await.expect("the log's thread does not panic")
        };
        match tokio::time::timeout(THREADS_GRACE, finishing).await {
            Ok(outcome) => outcome,
            Err(_) => {
                warn!("the log did not end in time: what was not answered may be lost");
                Ok(())
            }
        }
    }
}
