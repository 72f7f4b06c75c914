//! A relay in this process.

use std::{net::SocketAddr, path::Path, thread::JoinHandle, time::Duration};

use chat_server::{Server, config::Config, operator::OperatorRequest, server::Controller};
use protocol::ids::RelayKey;

use super::{Identity, stream::Client};

/// A serving relay; stopped when dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) key: RelayKey,
    pub(crate) controller: Controller,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn start(data_dir: &Path, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.settings.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
        data_dir.clone_into(&mut config.settings.server.data_dir);
        config.settings.server.drain = Duration::ZERO;
        adjust(&mut config);
        let server = Server::bind(config).unwrap();
        let (address, key) = (server.local_addrs()[0], server.relay_key());
        let controller = server.controller();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(server.serve()).unwrap();
        });
        Self { address, key, controller, thread: Some(thread) }
    }

    pub(crate) fn attach_new(&self, identity: &Identity) -> Client {
        Client::connect(self.address, self.key, identity).unwrap().attached(identity.register())
    }

    pub(crate) fn attach(&self, identity: &Identity) -> Client {
        Client::connect(self.address, self.key, identity).unwrap().attached(identity.attach())
    }

    pub(crate) fn ask(&self, request: &str) -> Result<String, String> {
        let request: OperatorRequest = request.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.controller.ask(request))
    }

    pub(crate) fn stop(mut self) {
        self.controller.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.controller.stop();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap();
        }
    }
}
