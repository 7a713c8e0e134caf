//! Who is there: the first words on every connection between nodes.
//!
//! ```text
//! connecting → Hello            magic, version, cluster, configuration, who, what for, a nonce
//! listening  → Challenge        a nonce, and a proof that it knows the secret
//! connecting → Proof            the same of this side
//! listening  → Verdict          welcome, or why not
//! ```
//!
//! Each is of fixed length, and all of it takes [`HELLO_TIME`] at most. A proof is an HMAC-SHA256
//! under the cluster's secret over everything said before, so the secret does not cross the wire
//! and a recorded proof is worth nothing. What follows is neither encrypted nor signed: the network
//! between nodes is to be one's own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bincode::Options;
use hmac::{Hmac, KeyInit, Mac};
use rustix::net::sockopt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How long all of it may take.
pub const HELLO_TIME: Duration = Duration::from_secs(1);
/// A peer that does not acknowledge what was sent is gone after this.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

const MAGIC: [u8; 8] = *b"OTKLIKM1";
/// Rises when what nodes or workers say to each other changes; workers of different releases do
/// not understand each other, so the release is part of it.
const VERSION: &str = concat!("2 ", env!("CARGO_PKG_VERSION"));

type Hash = [u8; 32];

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purpose {
    /// 0 for the first node's guidance, otherwise the generation whose workers are to talk.
    pub generation: u64,
    /// A number of that generation which nobody can guess.
    pub run: u128,
}

impl Purpose {
    /// The first node's guidance.
    pub const CONTROL: Purpose = Purpose { generation: 0, run: 0 };
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Hello {
    magic: [u8; 8],
    version: Hash,
    cluster: Hash,
    configuration: Hash,
    from: u32,
    to: u32,
    purpose: Purpose,
    nonce: Hash,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Challenge {
    nonce: Hash,
    proof: Hash,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Proof(Hash);

/// What the listening side thinks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    /// Another release.
    #[error("the other node runs another version")]
    Version,
    /// Another name.
    #[error("the other node is of another cluster")]
    Cluster,
    /// Something that must be the same everywhere is not.
    #[error(
        "the other node has other hosts, workers, epoch_ms or rules: they must be the same on all nodes"
    )]
    Configuration,
    /// It took this node for another, or says it is one that there is not.
    #[error("the other node is not where the list of hosts says")]
    Place,
    /// What it wants is over.
    #[error("the generation is over")]
    Generation,
}

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// Of the connection; also that it took too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What was said is not of this protocol: a port scanner, a health probe.
    #[error("it does not speak as a node does")]
    Stranger,
    /// It does not know the secret.
    #[error("it does not know the secret of the cluster")]
    Secret,
    /// It was refused, or this side was.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What a node says of itself, and what it expects of others.
#[derive(Clone)]
pub struct Identity {
    /// The name of the cluster.
    pub cluster: String,
    /// What all nodes know and nobody else.
    pub secret: String,
    /// Everything that must be the same on all nodes, as text.
    pub configuration: String,
    /// The number of this node.
    pub process: usize,
    /// How many there are.
    pub processes: usize,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} of {} in {}", self.process, self.processes, self.cluster)
    }
}

impl Identity {
    /// Connects to node `to`, and is welcome when this returns.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn connect(
        &self,
        addresses: &[SocketAddr],
        to: usize,
        purpose: Purpose,
    ) -> Result<TcpStream, HelloError> {
        let until = Instant::now() + HELLO_TIME;
        let mut last = io::Error::other("the address has no number");
        for address in addresses {
            match TcpStream::connect_timeout(address, left(until)?) {
                Ok(stream) => return self.introduce(stream, to, purpose, until),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    fn introduce(
        &self,
        stream: TcpStream,
        to: usize,
        purpose: Purpose,
        until: Instant,
    ) -> Result<TcpStream, HelloError> {
        prepare(&stream)?;
        let mut line = Line { stream, until, said: Sha256::new() };
        line.say(&self.hello(to, purpose)?)?;
        let before = line.said.clone();
        let challenge: Challenge = line.hear()?;
        let said = before.chain_update(challenge.nonce);
        self.mac(b"listening", said)
            .verify_slice(&challenge.proof)
            .map_err(|_| HelloError::Secret)?;
        let proof = self.mac(b"connecting", line.said.clone());
        line.say(&Proof(proof.finalize().into_bytes().into()))?;
        let verdict: Result<(), Refusal> = match line.hear::<u8>()? {
            0 => Ok(()),
            1 => Err(Refusal::Version),
            2 => Err(Refusal::Cluster),
            3 => Err(Refusal::Configuration),
            4 => Err(Refusal::Place),
            5 => Err(Refusal::Generation),
            _ => return Err(HelloError::Stranger),
        };
        verdict?;
        line.end()
    }

    /// Hears out who has connected: yields the number of the node and what it wants. `wanted` says
    /// whether anybody here waits for that.
    ///
    /// # Errors
    /// [`HelloError`]; who was refused has been told so, if it knows the secret.
    pub fn accept(
        &self,
        stream: TcpStream,
        wanted: impl FnOnce(usize, Purpose) -> bool,
    ) -> Result<(usize, Purpose, TcpStream), HelloError> {
        prepare(&stream)?;
        let mut line = Line { stream, until: Instant::now() + HELLO_TIME, said: Sha256::new() };
        let hello: Hello = line.hear()?;
        if hello.magic != MAGIC {
            return Err(HelloError::Stranger);
        }
        let nonce = random()?;
        let proof = self.mac(b"listening", line.said.clone().chain_update(nonce));
        line.say(&Challenge { nonce, proof: proof.finalize().into_bytes().into() })?;
        let expected = self.mac(b"connecting", line.said.clone());
        let Proof(proof) = line.hear()?;
        expected.verify_slice(&proof).map_err(|_| HelloError::Secret)?;
        let from = hello.from as usize;
        let refusal = self
            .judge(&hello)
            .or_else(|| (!wanted(from, hello.purpose)).then_some(Refusal::Generation));
        line.say(&refusal.map_or(0, |refusal| refusal as u8 + 1))?;
        match refusal {
            Some(refusal) => Err(refusal.into()),
            None => Ok((from, hello.purpose, line.end()?)),
        }
    }

    fn hello(&self, to: usize, purpose: Purpose) -> Result<Hello, io::Error> {
        Ok(Hello {
            magic: MAGIC,
            version: hash(VERSION),
            cluster: hash(&self.cluster),
            configuration: hash(&self.configuration),
            from: self.process as u32,
            to: to as u32,
            purpose,
            nonce: random()?,
        })
    }

    fn judge(&self, hello: &Hello) -> Option<Refusal> {
        if hello.version != hash(VERSION) {
            Some(Refusal::Version)
        } else if hello.cluster != hash(&self.cluster) {
            Some(Refusal::Cluster)
        } else if hello.configuration != hash(&self.configuration) {
            Some(Refusal::Configuration)
        } else if hello.to as usize != self.process || hello.from as usize >= self.processes {
            Some(Refusal::Place)
        } else {
            None
        }
    }

    fn mac(&self, side: &[u8], said: Sha256) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes());
        let mac = mac.expect("a key may have any length");
        mac.chain_update(side).chain_update(said.finalize())
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

fn random() -> io::Result<Hash> {
    let mut bytes = Hash::default();
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// A number that nobody can guess.
///
/// # Errors
/// The operating system has no random numbers.
pub fn run_number() -> io::Result<u128> {
    let bytes = random()?;
    Ok(u128::from_le_bytes(bytes[..16].try_into().expect("half of it")))
}

/// Nothing waits for company in a packet, and a peer that is gone is noticed within seconds.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_nodelay(stream, true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(1))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED.as_millis() as u32)?;
    Ok(())
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A connection on which little is said, and all of it by a time.
struct Line {
    stream: TcpStream,
    until: Instant,
    /// Both sides' words so far.
    said: Sha256,
}

impl Line {
    fn say<M: Serialize>(&mut self, message: &M) -> Result<(), HelloError> {
        let bytes = fixed().serialize(message).map_err(io::Error::other)?;
        self.said.update(&bytes);
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write_all(&bytes)?;
        Ok(())
    }

    fn hear<M: for<'a> Deserialize<'a> + Serialize + Fixed>(&mut self) -> Result<M, HelloError> {
        let mut bytes = vec![0; M::BYTES];
        let mut filled = 0;
        while filled < bytes.len() {
            self.stream.set_read_timeout(Some(left(self.until)?))?;
            match self.stream.read(&mut bytes[filled..])? {
                0 => return Err(HelloError::Io(io::ErrorKind::UnexpectedEof.into())),
                more => filled += more,
            }
            // Who begins otherwise need not go on.
            let begun = filled.min(MAGIC.len());
            if M::BYTES == Hello::BYTES && bytes[..begun] != MAGIC[..begun] {
                return Err(HelloError::Stranger);
            }
        }
        self.said.update(&bytes);
        fixed().deserialize(&bytes).map_err(|_| HelloError::Stranger)
    }

    fn end(self) -> Result<TcpStream, HelloError> {
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)?;
        Ok(self.stream)
    }
}

fn fixed() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding()
}

/// A message of always the same length.
trait Fixed {
    const BYTES: usize;
}

impl Fixed for Hello {
    const BYTES: usize = 8 + 3 * 32 + 4 + 4 + 8 + 16 + 32;
}
impl Fixed for Challenge {
    const BYTES: usize = 64;
}
impl Fixed for Proof {
    const BYTES: usize = 32;
}
impl Fixed for u8 {
    const BYTES: usize = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn node(process: usize) -> Identity {
        Identity {
            cluster: "otklik".to_owned(),
            secret: "s".to_owned(),
            configuration: "rules".to_owned(),
            process,
            processes: 3,
        }
    }

    /// What both sides come to.
    fn meet(
        connecting: Identity,
        listening: Identity,
        to: usize,
    ) -> (Result<(), String>, Result<usize, String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let there = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accepts");
            let heard = listening.accept(stream, |_, purpose| purpose == Purpose::CONTROL);
            heard.map(|(from, ..)| from).map_err(|error| error.to_string())
        });
        let here = connecting.connect(&[address], to, Purpose::CONTROL);
        let here = here.map(|_| ()).map_err(|error| error.to_string());
        (here, there.join().expect("no panic"))
    }

    #[test]
    fn nodes_of_a_cluster_know_each_other() {
        assert_eq!(meet(node(2), node(0), 0), (Ok(()), Ok(2)));
    }

    #[test]
    fn all_others_are_turned_away() {
        let with = |change: fn(&mut Identity)| {
            let mut other = node(2);
            change(&mut other);
            meet(other, node(0), 0)
        };
        let (here, there) = with(|node| node.secret = "guessed".to_owned());
        assert!(here.is_err_and(|error| error.contains("secret")));
        assert!(there.is_err());
        for (other, word) in [
            (with(|node| node.cluster = "another".to_owned()), "cluster"),
            (with(|node| node.configuration = "others".to_owned()), "rules"),
            (with(|node| node.process = 3), "hosts"),
            (meet(node(2), node(1), 0), "hosts"),
        ] {
            let (here, there) = other;
            assert!(here.as_ref().is_err_and(|error| error.contains(word)), "{here:?}");
            assert!(there.is_err_and(|error| error.contains(word)));
        }
    }

    /// Strangers are seen by their first byte, slow ones by the clock.
    #[test]
    fn strangers_cost_a_second_at_most() {
        for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"OTKLIK", b""] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let mut stranger =
                TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            stranger.write_all(words).expect("written");
            let (stream, _) = listener.accept().expect("accepts");
            let error = node(0).accept(stream, |_, _| true).expect_err("a stranger");
            match words {
                b"OTKLIK" | b"" => assert!(matches!(error, HelloError::Io(_)), "{error}"),
                _ => assert!(matches!(error, HelloError::Stranger), "{error}"),
            }
        }
    }

    #[test]
    fn a_proof_is_of_one_connection() {
        let hello = node(2).hello(0, Purpose::CONTROL).expect("random");
        let bytes = fixed().serialize(&hello).expect("serialises");
        assert_eq!(bytes.len(), Hello::BYTES);
        let again = node(2).hello(0, Purpose::CONTROL).expect("random");
        assert_ne!(hello.nonce, again.nonce);
    }
}
