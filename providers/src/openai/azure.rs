//! `OpenAI`'s models on Azure: the same bodies under the path of a deployment, whose name is the
//! target's model.

use std::sync::Arc;

use bytes::Bytes;

use super::adapter::OpenAi;
use super::kinds;
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
};
use crate::call::Call;
use crate::declare::Declaration;
use crate::dialect::Dialect;
use crate::error::UpstreamError;
use crate::path;

/// The latest version that is not a preview.
const API_VERSION: &str = "2024-10-21";
/// The version whose paths are `OpenAI`'s own.
const NEXT: &str = "v1";

/// Azure.
pub(crate) struct Azure {
    plain: OpenAi,
}

/// The one there is.
pub(crate) static AZURE: Azure = Azure { plain: OpenAi { declared: &DECLARED, quirks: kinds::PLAIN } };

static DECLARED: Declaration = Declaration {
    kind: "azure",
    title: "Azure OpenAI",
    speaks: &[Dialect::OpenAiChat],
    endpoints: kinds::AZURE_ALL,
    features: kinds::AS_IS,
};

impl Adapter for Azure {
    fn declares(&self) -> &'static Declaration {
        &DECLARED
    }

    fn supports(&self, call: &Call, target: &Target) -> Result<(), Unsupported> {
        self.plain.supports(call, target)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        let mut request = self.plain.request(call, target)?;
        let endpoint = &request.path;
        let version = target.api_version.as_ref().map_or(API_VERSION, Arc::as_ref);
        request.path = if version == NEXT {
            format!("openai/v1/{endpoint}")
        } else {
            let deployment = path::segment(&target.model);
            format!("openai/deployments/{deployment}/{endpoint}?api-version={}", path::segment(version))
        };
        Ok(request)
    }

    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
        self.plain.reply(head, body, exchange)
    }

    fn stream(&self, head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        self.plain.stream(head, exchange)
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        self.plain.error(head, body)
    }
}
