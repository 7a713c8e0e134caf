//! Handing connections over to the worker: the node makes them, because it has the port and checks
//! who is there; the worker is to use them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most that one message takes along (Linux has 253).
pub const SOCKETS_MAX: usize = 128;

/// Gives the other end of a Unix socket these connections, in this order.
///
/// # Errors
/// Of the socket.
pub fn send(to: &UnixStream, sockets: &[TcpStream]) -> io::Result<()> {
    let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other(format!("{} sockets are too many", fds.len())));
    }
    // Something must go with them.
    sendmsg(to, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Takes the connections that the other end gives, of which there must be so many.
///
/// # Errors
/// Of the socket; more or fewer connections.
pub fn receive(from: &UnixStream, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds.map(|fd: OwnedFd| TcpStream::from(fd)));
        }
    }
    if sockets.len() != count {
        return Err(io::Error::other(format!("{} sockets came, not {count}", sockets.len())));
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

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
        assert!(receive(&theirs, 3).is_ok_and(|mut received| {
            received.iter_mut().zip(&mut far).enumerate().all(|(n, (here, there))| {
                let mut byte = [0];
                there.write_all(&[n as u8]).is_ok()
                    && here.read_exact(&mut byte).is_ok()
                    && byte == [n as u8]
            })
        }));
        let one = TcpStream::connect(address).expect("connects");
        send(&ours, &[one]).expect("sent");
        assert!(receive(&theirs, 2).is_err(), "one came");
    }
}
