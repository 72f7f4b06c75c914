//! The sockets of the proxy for datagrams: one that programs send to, and one for each of them
//! towards the program behind, which so tells them apart.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{JoinHandle, yield_now},
};

use super::{
    super::{
        alarm::Alarm,
        sockets::{DATAGRAM_BYTES_MAX, enlarge, towards},
    },
    BACK, OUT, Shop,
    peers::{Departure, Peers},
};

/// Answers that wait for the proxy. When they are too many, the sockets' own queues fill, and then the
/// system drops.
const ANSWERS_WAITING_MAX: usize = 256;

/// From the program behind, for a peer: a datagram, or the news that one could not be delivered.
type Answer = (SocketAddr, io::Result<Vec<u8>>);

/// Carries datagrams until the front of the proxy has gone.
pub(super) async fn carry(listen: UdpSocket, mut shop: Shop) {
    let _ = enlarge(&listen);
    let settings = shop.settings.borrow_and_update().clone();
    let mut peers = Peers::new(shop.now(), shop.seed, settings);
    let mut upstreams = BTreeMap::new();
    let (answer, mut answers) = mpsc::channel(ANSWERS_WAITING_MAX);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let alarm = Alarm::new();
    loop {
        let now = shop.now();
        while let Some(peer) = peers.poll_forgotten(now, &mut shop.totals.lock()) {
            upstreams.remove(&peer);
        }
        while let Some(departure) = next(&mut peers, &shop) {
            let way = departure.way;
            if send(&listen, &upstreams, departure).await.is_err() {
                shop.totals.lock().way(way).refused += 1;
            }
        }
        tokio::select! {
            received = listen.recv_from(&mut buffer) => match received {
                Ok((bytes, peer)) => {
                    let has_way = peers.knows(peer)
                        || admit(peer, &mut peers, &mut upstreams, &answer, &shop);
                    let totals = &mut *shop.totals.lock();
                    if has_way {
                        let bytes = &buffer[..bytes];
                        peers.handle_datagram(shop.now(), OUT, peer, bytes, totals);
                    } else {
                        totals.way(OUT).overflow += 1;
                    }
                }
                // It belongs to something that was sent before.
                Err(_) => shop.totals.lock().way(BACK).refused += 1,
            },
            Some((peer, received)) = answers.recv() => {
                let totals = &mut *shop.totals.lock();
                match received {
                    Ok(bytes) => peers.handle_datagram(shop.now(), BACK, peer, &bytes, totals),
                    Err(_) => totals.way(OUT).refused += 1,
                }
            }
            () = alarm.until(shop.instant(peers.poll_timeout())) => {}
            changed = shop.settings.changed() => {
                if changed.is_err() {
                    return;
                }
                peers.set(shop.settings.borrow_and_update().clone());
            }
        }
    }
}

fn next(peers: &mut Peers, shop: &Shop) -> Option<Departure> {
    peers.poll_departure(shop.now(), &mut shop.totals.lock())
}

/// Waits until the system has taken it, which keeps up with any network card; in the meantime the
/// others wait as they would behind a bottleneck.
async fn send(
    listen: &UdpSocket,
    upstreams: &BTreeMap<SocketAddr, Upstream>,
    Departure { peer, way, bytes, .. }: Departure,
) -> io::Result<()> {
    if way == BACK {
        listen.send_to(&bytes, peer).await?;
    } else if let Some(upstream) = upstreams.get(&peer) {
        upstream.socket.send(&bytes).await?;
    }
    Ok(())
}

/// Opens the way for a new peer, if there is room for it.
fn admit(
    peer: SocketAddr,
    peers: &mut Peers,
    upstreams: &mut BTreeMap<SocketAddr, Upstream>,
    answer: &mpsc::Sender<Answer>,
    shop: &Shop,
) -> bool {
    if !peers.has_room() {
        return false;
    }
    let Ok(upstream) = Upstream::open(peer, shop.to, answer.clone()) else { return false };
    upstreams.insert(peer, upstream);
    peers.admit(shop.now(), peer, &mut shop.totals.lock());
    true
}

/// The way of one peer to the program behind.
#[derive(Debug)]
struct Upstream {
    socket: Arc<UdpSocket>,
    listens: JoinHandle<()>,
}

impl Upstream {
    fn open(peer: SocketAddr, to: SocketAddr, answer: mpsc::Sender<Answer>) -> io::Result<Self> {
        let socket = Arc::new(towards(to)?);
        // Ends when the peer is forgotten.
        let listens = tokio::spawn(listen(peer, Arc::clone(&socket), answer));
        Ok(Self { socket, listens })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.listens.abort();
    }
}

async fn listen(peer: SocketAddr, socket: Arc<UdpSocket>, answer: mpsc::Sender<Answer>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = socket.recv(&mut buffer).await.map(|bytes| buffer[..bytes].to_vec());
        let is_error = received.is_err();
        if answer.send((peer, received)).await.is_err() {
            return;
        }
        if is_error {
            // Whatever is wrong with the socket, others have their turn.
            yield_now().await;
        }
    }
}
