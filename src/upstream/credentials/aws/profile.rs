//! The shared files `~/.aws/config` and `~/.aws/credentials`: profiles, and what a profile says.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::upstream::credentials::environment::Environment;

/// All profiles, by name.
pub(super) type Profiles = HashMap<String, HashMap<String, String>>;

/// Both files; what is in the second wins. Files that are not there are empty.
pub(super) async fn load(environment: &Environment) -> Result<Profiles, String> {
    let mut profiles = Profiles::new();
    for (variable, path) in [("AWS_CONFIG_FILE", ".aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")] {
        let path = environment.var(variable).map(PathBuf::from).or_else(|| environment.home(path));
        let Some(path) = path else { continue };
        if let Some(text) = environment.read(path).await? {
            parse(&text, &mut profiles);
        }
    }
    Ok(profiles)
}

/// Sections are `[name]`, or `[profile name]` in the config file; other kinds are left out.
fn parse(text: &str, profiles: &mut Profiles) {
    let mut section: Option<String> = None;
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = bare.strip_prefix('[').and_then(|head| head.split(']').next()) {
            let name = head.strip_prefix("profile ").unwrap_or(head).trim();
            let other = ["sso-session ", "services "].iter().any(|kind| head.starts_with(kind));
            section = (!other).then(|| name.to_owned());
            continue;
        }
        // Indented lines belong to the setting above, of which none is needed here.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        if let (Some(section), Some((name, value))) = (&section, bare.split_once('=')) {
            let value = value.split(" #").next().unwrap_or(value).trim();
            profiles.entry(section.clone()).or_default().insert(name.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_aws_reads_them() {
        let mut profiles = Profiles::new();
        let config = "# comment\n[default]\nregion = eu-west-1\n\n[profile work]\nrole_arn=arn:aws:iam::1:role/r # inline\n\
                      source_profile = default\ns3 =\n  max_concurrent_requests = 20\n[sso-session x]\nsso_region = us-east-1\n";
        parse(config, &mut profiles);
        parse("[default]\naws_access_key_id = AKIA\naws_secret_access_key = a=b\n", &mut profiles);
        assert_eq!(profiles["default"]["region"], "eu-west-1");
        assert_eq!(profiles["default"]["aws_secret_access_key"], "a=b");
        assert_eq!(profiles["work"]["role_arn"], "arn:aws:iam::1:role/r");
        assert!(!profiles["work"].contains_key("max_concurrent_requests"));
        assert!(!profiles.contains_key("x") && !profiles["work"].contains_key("sso_region"));
    }
}
