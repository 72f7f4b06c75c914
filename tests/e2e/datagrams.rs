//! Sessions over datagrams with a relay of several shards: clients that move, and shards that are
//! not there any more.

use std::time::Duration;

use harness::{
    client::{Client, ClientError, RelayEndpoint, source_address},
    identity::Identity,
    path::Path,
    process::{RelayOptions, RelayProcess, relay_binary},
};
use protocol::{
    connection::ConnectionError,
    entropy::Entropy,
    lab::fault::Faults,
    message::{ClientMessage, RelayMessage, session::Ping},
    transport::TransportKind,
};
use tokio::{
    task::{JoinSet, LocalSet},
    time::timeout,
};

use crate::single::{WITHIN, runtime};

/// Enough that each of three shards has some.
const CLIENTS: u32 = 24;

fn start(dir: &std::path::Path, shards: u32) -> RelayProcess {
    let mut options = RelayOptions::new(relay_binary().expect("built"), dir);
    let settings = [
        ("CHAT_SERVER__SERVER__SHARDS", shards.to_string()),
        ("CHAT_SERVER__LIMITS__REGISTRATIONS_PER_SECOND", "0".to_owned()),
    ];
    options.settings = settings.map(|(key, value)| (key.to_owned(), value)).into();
    RelayProcess::start(&options).expect("the relay starts")
}

async fn ping(mut client: Client, token: u64) -> Result<Client, ClientError> {
    client.queue(&ClientMessage::Ping(Ping { token }))?;
    client.flush().await?;
    let pong = client.wait_for(|message| match message {
        RelayMessage::Pong(pong) if pong.token == token => Some(()),
        _ => None,
    });
    timeout(WITHIN, pong).await.expect("an answer in time")?;
    Ok(client)
}

/// All at the same time.
async fn ping_all(clients: Vec<Client>, token: u64) -> Vec<Result<Client, ClientError>> {
    let mut pings = JoinSet::new();
    for client in clients {
        pings.spawn_local(ping(client, token));
    }
    pings.join_all().await
}

#[test]
fn sessions_of_all_shards_go_on_elsewhere_and_are_reset_where_their_shard_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let relay = start(dir.path(), 3);
    let faults = Faults { delay: Duration::from_millis(2), ..Faults::default() };
    let path = Path::start(relay.ready().tcp, faults, 1).expect("a path");
    let endpoint = RelayEndpoint {
        address: path.address(),
        transport: TransportKind::Datagram,
        ..relay.endpoint()
    };
    LocalSet::new().block_on(&runtime(), async {
        let mut clients = Vec::new();
        for index in 0..CLIENTS {
            let identity = Identity::generate(format!("mover{index}"), &mut Entropy::system());
            let (source, key) = (source_address(index), &identity.channel_key);
            let client = Client::connect(endpoint, key, source, &mut Entropy::system()).await;
            let mut client = client.expect("connects");
            client.attach(identity.register()).await.expect("is let in");
            clients.push(client);
        }
        for token in 0..3 {
            let pings = ping_all(clients, token).await.into_iter();
            clients = pings.map(|ping| ping.expect("a live session")).collect();
            // By their addresses alone, most of them would reach another shard now.
            path.move_clients();
        }
        // One shard now, which answers for the sessions of all the others.
        relay.kill().expect("killed");
        let relay = start(dir.path(), 1);
        path.lead_to(relay.ready().tcp);
        for ping in ping_all(clients, 9).await {
            let error = ping.expect_err("nobody knows this session");
            let is_reset = matches!(error, ClientError::Connection(ConnectionError::Reset));
            assert!(is_reset, "{error:?}");
        }
    });
}
