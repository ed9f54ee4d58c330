//! How to reach the store: one node, a cluster, or the master that sentinels know.

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisFuture,
    RedisResult, TlsCertificates, TlsMode, Value,
};
use secrecy::ExposeSecret;
use std::time::Duration;
use tokio::sync::Mutex;

use crate::config::{Redis, RedisMode};

/// A node that does not accept within this time is not there.
const CONNECT: Duration = Duration::from_secs(2);

/// A connection that many tasks use at once. Cheap to clone.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(cmd, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// Makes connections.
pub(super) enum Connector {
    One(Box<Client>),
    Cluster(Box<(ClusterClient, Vec<Client>)>),
    Sentinel(Box<Mutex<SentinelClient>>),
}

impl Connector {
    /// The error is for the person who wrote the config; it holds no password.
    pub(super) fn new(config: &Redis) -> Result<Self, String> {
        Self::build(config).map_err(|error| format!("redis: {error}"))
    }

    fn build(config: &Redis) -> RedisResult<Self> {
        let infos = config.urls.iter().map(|url| info(config, url.expose_secret()));
        let infos = infos.collect::<RedisResult<Vec<_>>>()?;
        match &config.mode {
            RedisMode::Single => {
                let info = infos.into_iter().next();
                let info = info.ok_or((redis::ErrorKind::InvalidClientConfig, "there is no URL"))?;
                Ok(Self::One(Box::new(client(config, info)?)))
            }
            RedisMode::Cluster => {
                let mut builder = ClusterClient::builder(infos.clone()).connection_timeout(CONNECT).retries(2);
                builder = builder.min_retry_wait(1).max_retry_wait(20);
                if let Some(certificates) = certificates(config) {
                    builder = builder.certs(certificates);
                }
                let nodes = infos.into_iter().map(|info| client(config, info)).collect::<RedisResult<_>>()?;
                Ok(Self::Cluster(Box::new((builder.build()?, nodes))))
            }
            RedisMode::Sentinel(master) => Ok(Self::Sentinel(Box::new(Mutex::new(sentinel(config, &infos, master)?)))),
        }
    }

    /// Connects anew.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let settings = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        match self {
            Self::One(client) => {
                Ok(Connection::One(client.get_multiplexed_async_connection_with_config(&settings).await?))
            }
            Self::Cluster(cluster) => Ok(Connection::Cluster(cluster.0.get_async_connection().await?)),
            Self::Sentinel(sentinel) => {
                Ok(Connection::One(sentinel.lock().await.get_async_connection_with_config(&settings).await?))
            }
        }
    }

    /// A connection for messages. In a cluster any node has those of all.
    pub(super) async fn subscribe(&self) -> RedisResult<PubSub> {
        match self {
            Self::One(client) => client.get_async_pubsub().await,
            Self::Cluster(cluster) => {
                let mut last = Err((redis::ErrorKind::ClusterConnectionNotFound, "there is no node").into());
                for node in &cluster.1 {
                    last = node.get_async_pubsub().await;
                    if last.is_ok() {
                        break;
                    }
                }
                last
            }
            Self::Sentinel(sentinel) => {
                let client = sentinel.lock().await.async_get_client().await?;
                client.get_async_pubsub().await
            }
        }
    }
}

fn info(config: &Redis, url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.expose_secret());
    }
    Ok(info.set_redis_settings(settings))
}

fn certificates(config: &Redis) -> Option<TlsCertificates> {
    config.ca.clone().map(|root| TlsCertificates { client_tls: None, root_cert: Some(root) })
}

fn client(config: &Redis, info: ConnectionInfo) -> RedisResult<Client> {
    match certificates(config) {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

/// Credentials and TLS of the URLs are those of the nodes and of the sentinels alike.
fn sentinel(config: &Redis, infos: &[ConnectionInfo], master: &str) -> RedisResult<SentinelClient> {
    let addrs: Vec<ConnectionAddr> = infos.iter().map(|info| info.addr().clone()).collect();
    let tls = addrs.iter().any(|addr| matches!(addr, ConnectionAddr::TcpTls { .. }));
    let mut builder = SentinelClientBuilder::new(addrs, master, SentinelServerType::Master)?;
    if let Some(settings) = infos.first().map(ConnectionInfo::redis_settings) {
        builder = builder.set_client_to_redis_db(settings.db());
        if let Some(username) = settings.username() {
            builder = builder.set_client_to_redis_username(username).set_client_to_sentinel_username(username);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password).set_client_to_sentinel_password(password);
        }
    }
    if tls {
        builder =
            builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(config) {
        builder = builder.set_client_to_redis_certificates(certificates.clone());
        builder = builder.set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}
