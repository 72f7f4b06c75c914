//! The sockets of the proxy for connections. Each connection has a task, which ends with it.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    super::alarm::Alarm,
    BACK, OUT, Settings, Shop,
    pipe::{PIECE_BYTES_MAX, Piece, Pipe},
};

/// Connections at once: all that they may hold is half a gigabyte.
const CONNECTIONS_MAX: usize = 128;
/// How long it may take to reach the program behind.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Before the next try, when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Carries connections until the front of the proxy has gone.
pub(super) async fn carry(listener: TcpListener, mut shop: Shop) {
    // Dropping the set ends the connections.
    let mut connections = JoinSet::new();
    loop {
        shop.totals.lock().peers = connections.len() as u64;
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) if connections.len() < CONNECTIONS_MAX => {
                    let totals = &mut *shop.totals.lock();
                    let order = totals.peers_ever;
                    totals.peers_ever += 1;
                    connections.spawn(connection(client, shop.clone(), order));
                }
                Ok((client, _)) => {
                    reset(&client);
                    shop.totals.lock().turned_away += 1;
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            changed = shop.settings.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// One connection. When it breaks on one side, the other side is reset as well.
async fn connection(mut client: TcpStream, mut shop: Shop, order: u64) {
    // A cut concerns connections that are still being opened, too.
    let cuts = shop.settings.borrow().cuts;
    let Ok(mut server) = connect(shop.to).await else {
        reset(&client);
        shop.totals.lock().turned_away += 1;
        return;
    };
    // The proxy adds the delay it was asked for and no other.
    let _ = client.set_nodelay(true).and(server.set_nodelay(true));
    let settings = shop.settings.borrow_and_update().clone();
    let mut pipes = [OUT, BACK].map(|way| Pipe::new(way, &settings, shop.seed, order));
    let [out, back] = &mut pipes;
    let is_whole = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = cut(shop.settings.clone(), cuts) => {
                shop.totals.lock().cut += 1;
                false
            }
            carried = async {
                tokio::try_join!(
                    direction(OUT, from_client, to_server, out, shop.clone()),
                    direction(BACK, from_server, to_client, back, shop.clone()),
                )
            } => carried.is_ok(),
        }
    };
    if !is_whole {
        reset(&client);
        reset(&server);
    }
    let totals = &mut *shop.totals.lock();
    for (way, pipe) in [OUT, BACK].into_iter().zip(&pipes) {
        let held = &mut totals.way(way).held_bytes;
        *held = held.saturating_sub(pipe.held_bytes() as u64);
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    timeout(CONNECT_WITHIN, TcpStream::connect(to)).await?
}

/// Ends when connections are to be cut.
async fn cut(mut settings: watch::Receiver<Settings>, before: u64) {
    // If the front has gone, this task is ended from outside.
    let _ = settings.wait_for(|settings| settings.cuts != before).await;
}

/// Carries one direction until its end has been passed on.
async fn direction(
    way: usize,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    pipe: &mut Pipe,
    mut shop: Shop,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    let alarm = Alarm::new();
    loop {
        while let Some(piece) = pipe.poll_piece(shop.now()) {
            match piece {
                Piece::Bytes(bytes) => {
                    let count = bytes.len() as u64;
                    {
                        let totals = &mut *shop.totals.lock();
                        let held = &mut totals.way(way).held_bytes;
                        *held = held.saturating_sub(count);
                    }
                    to.write_all(&bytes).await?;
                    shop.totals.lock().way(way).passed_bytes += count;
                }
                Piece::End => return to.shutdown().await,
            }
        }
        let now = shop.now();
        let (room, wakes) = (pipe.room(now), pipe.poll_timeout(now));
        let wakes = wakes.map(|at| shop.instant(at));
        tokio::select! {
            read = from.read(&mut buffer[..room]), if room > 0 => match read? {
                0 => pipe.handle_end(shop.now()),
                count => {
                    pipe.handle_bytes(shop.now(), &buffer[..count]);
                    let totals = &mut *shop.totals.lock();
                    let counters = totals.way(way);
                    counters.bytes += count as u64;
                    counters.held_bytes += count as u64;
                }
            },
            () = alarm.until(wakes.unwrap_or(shop.began)), if wakes.is_some() => {}
            changed = shop.settings.changed() => {
                if changed.is_err() {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                pipe.set(shop.settings.borrow_and_update().clone());
            }
        }
    }
}

/// Lets the other side see a reset in place of an orderly end.
fn reset(stream: &TcpStream) {
    // Fails only if the connection is over already.
    let _ = stream.set_zero_linger();
}
