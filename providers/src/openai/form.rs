//! Requests whose body is a form with a file: the part that names the model is replaced, the file
//! goes through.

use http::{HeaderMap, HeaderValue, header};

use super::request::splice;
use crate::adapter::Target;
use crate::body::Body;
use crate::call::Call;

/// What of the form is here, with the target's name for the model.
pub(super) fn body(call: &Call, target: &Target) -> Body {
    if call.model == target.model {
        return call.body.clone().into();
    }
    splice(call, vec![(call.model_span.clone(), target.model.clone())])
}

/// The client's own content type: it has the boundary.
pub(super) fn content_type(call: &Call, headers: &mut HeaderMap) {
    let given = call.passed.get(header::CONTENT_TYPE).cloned();
    headers.insert(header::CONTENT_TYPE, given.unwrap_or(HeaderValue::from_static("multipart/form-data")));
}
