//! The section `ext_proc`: the door for Envoy.

use secrecy::SecretString;
use serde_saphyr::Spanned;

use super::compile::Compiler;
use super::model::{ExtProc, ExtProcMode, ServerTls};
use super::raw::{RawExtProc, RawServerTls};

const PORT: u16 = 9002;

impl Compiler {
    pub(super) fn ext_proc(&mut self, raw: &RawExtProc) -> Option<ExtProc> {
        let before = self.errors.len();
        let listen = (raw.listen.is_some() || raw.unix.is_none())
            .then(|| self.address(raw.listen.as_ref(), "ext_proc.listen", PORT));
        let unix = raw.unix.as_ref().map(|path| self.dir.join(&path.value));
        let mode = self.field(raw.mode.as_ref(), "ext_proc.mode", ExtProcMode::Serve, |text| {
            ExtProcMode::named(text).ok_or_else(|| format!("unknown mode `{text}`; it is one of serve, steer"))
        });
        let tls = raw.tls.as_ref().and_then(|raw| self.server_tls(raw, "ext_proc.tls"));
        if let (Some(_), None, Some(unix)) = (&raw.tls, listen, &raw.unix) {
            let message = "TLS is for `listen`; a Unix socket has none".to_owned();
            self.error(Some(&unix.referenced), "ext_proc.tls", message);
        }
        (self.errors.len() == before).then_some(ExtProc { listen, unix, mode, tls })
    }

    fn server_tls(&mut self, raw: &RawServerTls, path: &str) -> Option<ServerTls> {
        let cert = self.pem(&raw.cert, &format!("{path}.cert"));
        let key = self.pem(&raw.key, &format!("{path}.key"));
        let client_ca = raw.client_ca.as_ref().map(|raw| self.pem(raw, &format!("{path}.client_ca")));
        let key = SecretString::from(String::from_utf8(key?).ok()?);
        Some(ServerTls { cert: cert?, key, client_ca: client_ca.flatten() })
    }

    /// The content of a PEM file.
    fn pem(&mut self, raw: &Spanned<String>, path: &str) -> Option<Vec<u8>> {
        let file = self.dir.join(&raw.value);
        let read = match std::fs::read_to_string(&file) {
            Ok(text) if text.contains("-----BEGIN ") => Ok(text.into_bytes()),
            Ok(_) => Err(format!("{} is not a PEM file", file.display())),
            Err(error) => Err(format!("cannot read {}: {error}", file.display())),
        };
        read.map_err(|message| self.error(Some(&raw.referenced), path, message)).ok()
    }
}
