//! Handing open sockets over between node and worker: connections to the other nodes, which the node
//! makes, because it has the port and checks who is there, and the worker is to use; and what each
//! notices the other's end by.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most that one message takes along (Linux has 253).
pub const SOCKETS_MAX: usize = 128;

/// Gives the other end of a Unix socket these, in this order.
///
/// # Errors
/// Of the socket.
pub fn send<S: AsFd>(to: &UnixStream, sockets: impl IntoIterator<Item = S>) -> io::Result<()> {
    let sockets: Vec<S> = sockets.into_iter().collect();
    let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other(format!("{} sockets are too many", fds.len())));
    }
    // Something must go with them.
    sendmsg(to, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Takes what the other end gives; nothing where that is closed.
///
/// # Errors
/// Of the socket.
pub fn receive(from: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_go_over_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut far = Vec::new();
        let mut near = Vec::new();
        for _ in 0..3 {
            near.push(TcpStream::connect(address).expect("connects"));
            far.push(listener.accept().expect("accepts").0);
        }
        send(&ours, &near).expect("sent");
        drop(near);
        let received = receive(&theirs).expect("received");
        assert_eq!(received.len(), 3);
        for (n, (here, there)) in received.into_iter().zip(&mut far).enumerate() {
            let mut byte = [0];
            there.write_all(&[n as u8]).expect("written");
            TcpStream::from(here).read_exact(&mut byte).expect("read");
            assert_eq!(byte, [n as u8]);
        }
        send::<TcpStream>(&ours, []).expect("sent");
        assert!(receive(&theirs).is_ok_and(|none| none.is_empty()));
        drop(ours);
        assert!(receive(&theirs).is_ok_and(|none| none.is_empty()), "nobody is there");
    }
}
