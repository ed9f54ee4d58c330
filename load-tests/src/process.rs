//! The measured servers, each a process of its own, stopped when dropped.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;

use crate::Failure;
use crate::usage;

/// The key that the generated policy lists by its hash.
pub(crate) const KEY: &str = "sk-sluice-load";
const KEY_HASH: &str = "a4762eccc00e32ae10e9e68e9a172b9ec602e39ada7e00ca46f4257f5b53ac70";

const START: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Server {
    fn spawn(name: &'static str, addr: SocketAddr, folder: &Path, command: &mut Command) -> Result<Self, Failure> {
        let log = folder.join(format!("{name}.log"));
        let child = command.stdin(Stdio::null()).stderr(File::create(&log)?).spawn();
        let child = child.map_err(|error| format!("{name} does not start: {error}"))?;
        Ok(Self { name, addr, child, log })
    }

    /// User and system CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        usage::cpu(self.child.id())
    }

    /// Resident memory, in bytes.
    pub(crate) fn rss(&self) -> Result<u64, Failure> {
        usage::rss(self.child.id())
    }

    /// What it wrote to stderr.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `url` answers 200.
    async fn ready(&mut self, url: &str) -> Result<(), Failure> {
        let client: legacy::Client<_, Empty<&'static [u8]>> =
            legacy::Client::builder(TokioExecutor::new()).build_http();
        let begin = Instant::now();
        while begin.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended with {status}: {}", self.name, self.said()).into());
            }
            let request = Request::get(url).body(Empty::new())?;
            if client.request(request).await.is_ok_and(|response| response.status() == StatusCode::OK) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("{} is not ready after {START:?}: {}", self.name, self.said()).into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The provider: this program again.
pub(crate) fn mock(folder: &Path) -> Result<Server, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("mock").stdout(Stdio::piped());
    let mut server = Server::spawn("direct", any_port(0), folder, &mut command)?;
    let output = server.child.stdout.take().ok_or("the mock has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let addr = line.trim().strip_prefix("listening on ").ok_or("the mock does not say where it listens")?;
    server.addr = addr.parse()?;
    Ok(server)
}

/// The gateway in front of `mock`, with limits that are counted and never reached.
pub(crate) async fn sluice(binary: &Path, mock: SocketAddr, folder: &Path) -> Result<Server, Failure> {
    if !binary.exists() {
        let build = "build it with `cargo build --release` or name another with --sluice";
        return Err(format!("{} does not exist: {build}", binary.display()).into());
    }
    let (addr, admin) = (free_addr()?, free_addr()?);
    fs::write(
        folder.join("policy.yaml"),
        format!(
            "tenant: load\nkeys:\n  - {{ name: load, key: \"sha256:{KEY_HASH}\" }}\nlimits:\n  \
             - 5B tokens/min per key\n  - 1B requests/min per key\n  - 100k concurrent per key\n"
        ),
    )?;
    let config = folder.join("sluice.yaml");
    fs::write(
        &config,
        format!(
            "listen: {addr}\nadmin: {admin}\nproviders:\n  mock: {{ kind: openai, base_url: \"http://{mock}/v1\" }}\n\
             models:\n  gpt-4o-mini: [mock/gpt-4o-mini]\npolicies: policy.yaml\n"
        ),
    )?;
    let mut command = Command::new(binary);
    // The access log is written, to nowhere.
    command.arg("serve").arg("--config").arg(&config).stdout(Stdio::null());
    let mut server = Server::spawn("sluice", addr, folder, &mut command)?;
    server.ready(&format!("http://{admin}/readyz")).await?;
    Ok(server)
}

/// nginx as a plain proxy of `mock`; `None` when it is not installed.
pub(crate) async fn nginx(mock: SocketAddr, folder: &Path) -> Result<Option<Server>, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(binary) = std::env::split_paths(&path).map(|dir| dir.join("nginx")).find(|file| file.is_file()) else {
        return Ok(None);
    };
    let addr = free_addr()?;
    let config = folder.join("nginx.conf");
    let place = folder.display();
    fs::write(
        &config,
        format!(
            "daemon off;\npid {place}/nginx.pid;\nerror_log stderr;\nworker_processes 2;\n\
             events {{ worker_connections 16384; }}\nhttp {{\n  access_log off;\n  keepalive_requests 1000000000;\n  \
             client_body_temp_path {place}/body;\n  proxy_temp_path {place}/proxy;\n  fastcgi_temp_path {place}/fastcgi;\n  \
             uwsgi_temp_path {place}/uwsgi;\n  scgi_temp_path {place}/scgi;\n  \
             upstream mock {{ server {mock}; keepalive 256; keepalive_requests 1000000000; }}\n  \
             server {{\n    listen {addr};\n    location / {{\n      proxy_pass http://mock;\n      \
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_buffering off;\n    \
             }}\n  }}\n}}\n"
        ),
    )?;
    let mut command = Command::new(binary);
    command.arg("-p").arg(folder).arg("-c").arg(&config).stdout(Stdio::null());
    let mut server = Server::spawn("nginx", addr, folder, &mut command)?;
    server.ready(&format!("http://{addr}/v1/models")).await?;
    Ok(Some(server))
}

fn any_port(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Free now; another process may take it before it is used.
fn free_addr() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind(any_port(0))?.local_addr()?)
}
