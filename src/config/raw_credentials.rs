//! Credentials of providers as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// An AWS identity. What is not written comes from the default chain: environment, shared files,
/// web identity, container and instance metadata.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAws {
    /// Region of the service. Default `AWS_REGION`, then `AWS_DEFAULT_REGION`.
    #[schemars(with = "Option<String>")]
    pub(super) region: Option<Spanned<String>>,
    /// Profile of the shared files. Default the chain, with `AWS_PROFILE`.
    #[schemars(with = "Option<String>")]
    pub(super) profile: Option<Spanned<String>>,
    /// Access key id, instead of the chain.
    #[schemars(with = "Option<String>")]
    pub(super) access_key_id: Option<Spanned<String>>,
    /// Its secret: `${VAR}` or `file:/path`. Never logged.
    #[schemars(with = "Option<String>")]
    pub(super) secret_access_key: Option<Spanned<String>>,
    /// Its session token, if it is temporary. Never logged.
    #[schemars(with = "Option<String>")]
    pub(super) session_token: Option<Spanned<String>>,
    /// Role to assume with all of that.
    #[schemars(with = "Option<String>")]
    pub(super) role_arn: Option<Spanned<String>>,
    /// External id that the role's trust policy asks for.
    #[schemars(with = "Option<String>")]
    pub(super) external_id: Option<Spanned<String>>,
    /// Name of the role's session. Default `sluice`.
    #[schemars(with = "Option<String>")]
    pub(super) session_name: Option<Spanned<String>>,
    /// Where roles are assumed. Default `AWS_ENDPOINT_URL_STS`, then the region's endpoint.
    #[schemars(with = "Option<String>")]
    pub(super) sts_endpoint: Option<Spanned<String>>,
}

/// A Google Cloud identity. Without `credentials` it is found as Google's own libraries find it:
/// `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's file, the metadata server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGcp {
    /// Project that is billed. Default `GOOGLE_CLOUD_PROJECT`.
    #[schemars(with = "Option<String>")]
    pub(super) project: Option<Spanned<String>>,
    /// Location of the models, such as `europe-west4`. Default `global`.
    #[schemars(with = "Option<String>")]
    pub(super) location: Option<Spanned<String>>,
    /// Key of a service account: its JSON as `${VAR}`, or `file:/path`. Never logged.
    #[schemars(with = "Option<String>")]
    pub(super) credentials: Option<Spanned<String>>,
}

/// An application registered in Microsoft Entra, by its client secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntra {
    /// Directory (tenant) id.
    #[schemars(with = "String")]
    pub(super) tenant: Spanned<String>,
    /// Application (client) id.
    #[schemars(with = "String")]
    pub(super) client_id: Spanned<String>,
    /// Client secret: `${VAR}` or `file:/path`. Never logged.
    #[schemars(with = "String")]
    pub(super) client_secret: Spanned<String>,
    /// What the token is for. Default `https://cognitiveservices.azure.com/.default`.
    #[schemars(with = "Option<String>")]
    pub(super) scope: Option<Spanned<String>>,
    /// Where tokens are issued. Default `AZURE_AUTHORITY_HOST`, then
    /// `https://login.microsoftonline.com`.
    #[schemars(with = "Option<String>")]
    pub(super) authority: Option<Spanned<String>>,
}
