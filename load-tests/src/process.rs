//! The measured servers, each a process of its own, stopped when dropped.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::fetch::Page;
use crate::usage;

const START: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    child: Child,
    log: PathBuf,
}

/// A gateway and the address of its admin listener.
pub(crate) struct Gateway {
    pub(crate) server: Server,
    pub(crate) admin: SocketAddr,
}

/// What a gateway is started with, beside its addresses and its provider.
pub(crate) struct Setup<'a> {
    /// Its name, and that of its files.
    pub(crate) name: &'a str,
    /// The rest of its config: the models, and the store if it is shared.
    pub(crate) config: &'a str,
    pub(crate) policy: &'a str,
}

impl Server {
    pub(crate) fn spawn(name: &str, addr: SocketAddr, folder: &Path, command: &mut Command) -> Result<Self, Failure> {
        let log = folder.join(format!("{name}.log"));
        let child = command.stdin(Stdio::null()).stderr(File::create(&log)?).spawn();
        let child = child.map_err(|error| format!("{name} does not start: {error}"))?;
        Ok(Self { name: name.to_owned(), addr, child, log })
    }

    /// User and system CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        usage::cpu(self.child.id())
    }

    /// Resident memory, in bytes.
    pub(crate) fn rss(&self) -> Result<u64, Failure> {
        usage::rss(self.child.id())
    }

    /// Ends it at once: it has no time to tidy up.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Failure> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -s \"$0\" \"$1\"", name]).arg(self.child.id().to_string());
        if shell.status()?.success() { Ok(()) } else { Err(format!("{}: cannot be sent {name}", self.name).into()) }
    }

    /// Waits until `check` says that it is ready.
    pub(crate) async fn ready(&mut self, check: impl AsyncFn() -> bool) -> Result<(), Failure> {
        let begin = Instant::now();
        while begin.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended with {status}: {}", self.name, self.said()).into());
            }
            if check().await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("{} is not ready after {START:?}: {}", self.name, self.said()).into())
    }

    /// What it wrote to stderr.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
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
    mock_named("direct", folder)
}

/// One of several providers.
pub(crate) fn mock_named(name: &str, folder: &Path) -> Result<Server, Failure> {
    this("mock", name, folder)
}

/// This program again, with a command that says where it listens.
pub(crate) fn this(command: &str, name: &str, folder: &Path) -> Result<Server, Failure> {
    let mut program = Command::new(std::env::current_exe()?);
    program.arg(command).stdout(Stdio::piped());
    let mut server = Server::spawn(name, any_port(0), folder, &mut program)?;
    let output = server.child.stdout.take().ok_or_else(|| format!("the {name} has no output"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let addr = line.trim().strip_prefix("listening on ");
    let addr = addr.ok_or_else(|| format!("the {name} does not say where it listens"))?;
    server.addr = addr.parse()?;
    Ok(server)
}

/// A gateway in front of `mock`.
pub(crate) async fn sluice(
    binary: &Path,
    mock: SocketAddr,
    folder: &Path,
    setup: &Setup<'_>,
) -> Result<Gateway, Failure> {
    sluice_with(binary, &format!("  mock: {{ kind: openai, base_url: \"http://{mock}/v1\" }}\n"), folder, setup).await
}

/// A gateway with these lines as its `providers`.
pub(crate) async fn sluice_with(
    binary: &Path,
    providers: &str,
    folder: &Path,
    setup: &Setup<'_>,
) -> Result<Gateway, Failure> {
    if !binary.exists() {
        let build = "build it with `cargo build --release` or name another with --sluice";
        return Err(format!("{} does not exist: {build}", binary.display()).into());
    }
    let Setup { name, config, policy } = setup;
    let (addr, admin) = (free_addr()?, free_addr()?);
    fs::write(folder.join(format!("{name}-policy.yaml")), policy)?;
    let file = folder.join(format!("{name}.yaml"));
    fs::write(
        &file,
        format!("listen: {addr}\nadmin: {admin}\nproviders:\n{providers}policies: {name}-policy.yaml\n{config}"),
    )?;
    let mut command = Command::new(binary);
    // The access log is written, to nowhere.
    command.arg("serve").arg("--config").arg(&file).stdout(Stdio::null());
    let mut server = Server::spawn(name, addr, folder, &mut command)?;
    let page = Page::new(admin, "/readyz")?;
    server.ready(async || page.is_there().await).await?;
    Ok(Gateway { server, admin })
}

/// nginx as a plain proxy of `mock`; `None` when it is not installed.
pub(crate) async fn nginx(mock: SocketAddr, folder: &Path) -> Result<Option<Server>, Failure> {
    let Some(binary) = on_path("nginx") else { return Ok(None) };
    let addr = free_addr()?;
    let config = folder.join("nginx.conf");
    let place = folder.display();
    fs::write(
        &config,
        format!(
            "daemon off;\npid {place}/nginx.pid;\nerror_log stderr;\nworker_processes 2;\n\
             events {{ worker_connections 16384; }}\nhttp {{\n  access_log off;\n  client_max_body_size 0;\n  keepalive_requests 1000000000;\n  \
             client_body_temp_path {place}/body;\n  proxy_temp_path {place}/proxy;\n  fastcgi_temp_path {place}/fastcgi;\n  \
             uwsgi_temp_path {place}/uwsgi;\n  scgi_temp_path {place}/scgi;\n  \
             upstream mock {{ server {mock}; keepalive 256; keepalive_requests 1000000000; }}\n  \
             server {{\n    listen {addr};\n    location / {{\n      proxy_pass http://mock;\n      \
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_buffering off;\n      \
             proxy_request_buffering off;\n    \
             }}\n  }}\n}}\n"
        ),
    )?;
    let mut command = Command::new(binary);
    command.arg("-p").arg(folder).arg("-c").arg(&config).stdout(Stdio::null());
    let mut server = Server::spawn("nginx", addr, folder, &mut command)?;
    let page = Page::new(addr, "/v1/models")?;
    server.ready(async || page.is_there().await).await?;
    Ok(Some(server))
}

/// Where a program is, if it is installed.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn any_port(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Free now; another process may take it before it is used.
pub(crate) fn free_addr() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind(any_port(0))?.local_addr()?)
}
