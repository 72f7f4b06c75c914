//! Every setting of the relay, once: from this table follow the flags, the environment variables,
//! the keys of the file, the help and what `check-config` prints.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::value::{Arity, ByteCount, Registration, StoreKind, Value};

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its section in the file.
    pub section: &'static str,
    /// Its key in the section; with dashes it is the flag.
    pub key: &'static str,
    /// For `--help`.
    pub help: &'static str,
    /// What stands for the value in the help.
    pub placeholder: &'static str,
    /// How many values it takes.
    pub arity: Arity,
    /// Whether a running relay takes a change.
    pub effect: Effect,
    pub(super) set: fn(&mut Settings, &[String]) -> Result<(), String>,
    show: fn(&Settings) -> Vec<String>,
}

/// When a changed setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At the next reload.
    Reload,
    /// Only when the relay is started again.
    Restart,
}

impl Setting {
    /// The flag, without its dashes in front.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("CHAT_SERVER__{}__{}", self.section, self.key).to_ascii_uppercase()
    }

    /// Its value in `settings`, as it could be typed.
    pub fn show(&self, settings: &Settings) -> Vec<String> {
        (self.show)(settings)
    }

    /// The name in the file, as it is written in messages.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

macro_rules! settings {
    ($(
        $(#[doc = $sdoc:literal])*
        $section:ident: $Section:ident {
            $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr, $effect:ident;)*
        }
    )*) => {
        $(
            $(#[doc = $sdoc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section { $($(#[doc = $doc])+ pub $key: $type,)* }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// The values of all settings.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Settings { $($(#[doc = $sdoc])* pub $section: $Section,)* }

        /// All settings, in the order of the help.
        pub static SETTINGS: &[Setting] = &[$($(Setting {
            section: stringify!($section),
            key: stringify!($key),
            help: concat!($($doc),+),
            placeholder: <$type as Value>::PLACEHOLDER,
            arity: <$type as Value>::ARITY,
            effect: Effect::$effect,
            set: |settings, items| {
                settings.$section.$key = Value::parse(items)?;
                Ok(())
            },
            show: |settings| Value::show(&settings.$section.$key),
        },)*)*];
    };
}

settings! {
    /// Where and as what the relay serves.
    server: ServerSettings {
        /// Where to listen; give it again for a second address. By default every address of this
        /// machine, IPv6 and IPv4, port 4545.
        listen: Vec<SocketAddr> = Vec::new(), Restart;
        /// Where the relay keeps its key, accounts and history.
        data_dir: PathBuf = default_data_dir(), Restart;
        /// What people see as the relay's name.
        name: String = "chat relay".to_owned(), Restart;
        /// The address that invitations name. By default an address of this machine.
        public_host: String = String::new(), Restart;
        /// Where the durable state lives: sqlite or memory.
        store: StoreKind = StoreKind::Sqlite, Restart;
        /// Threads that own sockets; 0 is one per core.
        shards: u32 = 0, Restart;
        /// Within this time everybody is asked to come back after the relay is stopped, spread
        /// evenly so that they do not all come at once.
        drain: Duration = Duration::from_secs(5), Reload;
        /// A directory for traces of sessions over UDP (qlog and pcapng: headers, sizes and times, never
        /// what anybody says), to find out why something was sent again. By default none are written.
        trace: String = String::new(), Restart;
        /// What is logged to stderr: error, warn, info, debug, trace, or a filter by module.
        log: String = "info".to_owned(), Restart;
    }
    /// Who may have an account.
    accounts: AccountSettings {
        /// Who may found an account: open (from addresses of this network), invite or closed.
        registration: Registration = Registration::Open, Reload;
        /// Names nobody may take.
        reserved_names: Vec<String> = Vec::new(), Reload;
    }
    /// What the relay takes on before it says no.
    limits: LimitSettings {
        /// Connections in all.
        connections_max: u32 = 100_000, Reload;
        /// Connections from one IPv4 address or one IPv6 /64.
        connections_per_address_max: u32 = 1_024, Reload;
        /// Connections that have not logged in yet. When there are more, the one that has been
        /// silent longest is closed.
        logins_pending_max: u32 = 1_024, Reload;
        /// How long a connection may take to log in.
        login_time: Duration = Duration::from_secs(5), Reload;
        /// How long a session may be silent; clients speak every 15 s.
        silence_max: Duration = Duration::from_secs(45), Reload;
        /// Messages of one account per second in the long run; 0 is no limit.
        messages_per_second: u32 = 50, Reload;
        /// Messages of one account at once.
        messages_burst: u32 = 1_000, Reload;
        /// Bytes of one account's messages per second in the long run; 0 is no limit.
        message_bytes_per_second: ByteCount = ByteCount(256 << 10), Reload;
        /// Bytes of one account's messages at once.
        message_bytes_burst: ByteCount = ByteCount(4 << 20), Reload;
        /// Requests of one account per second in the long run; 0 is no limit.
        requests_per_second: u32 = 20, Reload;
        /// Requests of one account at once.
        requests_burst: u32 = 200, Reload;
        /// New accounts from one address per second in the long run; 0 is no limit.
        registrations_per_second: u32 = 5, Reload;
        /// New accounts from one address at once.
        registrations_burst: u32 = 200, Reload;
        /// Accounts of this relay.
        accounts_max: u32 = 100_000, Reload;
        /// Conversations one account has to do with.
        conversations_per_account_max: u32 = 500, Reload;
        /// Rooms one account may found.
        rooms_per_account_max: u32 = 50, Reload;
        /// Members of one room.
        members_per_room_max: u32 = 10_000, Reload;
        /// Records one conversation keeps; 0 keeps all.
        records_max: u32 = 0, Reload;
        /// How long records are kept; 0 keeps them for good. They go within a sixteenth of that
        /// time more.
        records_age_max: Duration = Duration::ZERO, Reload;
        /// Messages that share one sync of the disk before input waits.
        batch_messages_max: u32 = 4_096, Reload;
        /// Bytes that share one sync of the disk before input waits.
        batch_bytes_max: ByteCount = ByteCount(1 << 20), Reload;
        /// Memory for the newest messages, from which they are sent to everybody.
        tail_bytes: ByteCount = ByteCount(32 << 20), Restart;
    }
    /// What the kernel is told about each connection.
    socket: SocketSettings {
        /// Most bytes the kernel buffers for a peer that reads slowly.
        send_buffer: ByteCount = ByteCount(256 << 10), Restart;
        /// Unsent bytes above which a socket is not writable: what we send stays fresh.
        unsent_low_water: ByteCount = ByteCount(64 << 10), Restart;
        /// How long sent data may stay unacknowledged before the kernel gives the peer up.
        user_timeout: Duration = Duration::from_secs(30), Restart;
        /// Silence after which the kernel asks whether the peer is still there.
        keepalive: Duration = Duration::from_secs(30), Restart;
        /// Connections the kernel keeps ready for us to accept.
        backlog: u32 = 4_096, Restart;
    }
}

/// `chat-server` below the platform's state directory (XDG), or in the working directory when
/// there is no home.
fn default_data_dir() -> PathBuf {
    use etcetera::BaseStrategy as _;
    let name = "chat-server";
    etcetera::choose_base_strategy().map_or_else(
        |_| PathBuf::from(name),
        |base| base.state_dir().unwrap_or_else(|| base.data_dir()).join(name),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_settings_share_a_flag() {
        let flags: BTreeSet<_> = SETTINGS.iter().map(Setting::flag).collect();
        assert_eq!(flags.len(), SETTINGS.len());
    }

    #[test]
    fn every_default_reads_back_as_itself() {
        let defaults = Settings::default();
        for setting in SETTINGS {
            let mut settings = Settings::default();
            let items = setting.show(&defaults);
            (setting.set)(&mut settings, &items).expect("what is shown can be typed");
            assert_eq!(settings, defaults, "{}", setting.path());
        }
    }
}
