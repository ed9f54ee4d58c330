//! Through which Redis replicas share answers: the cache's own, or that of the limits.

use std::sync::Arc;

use super::compile::Compiler;
use super::model::Redis;
use super::raw::RawRedis;
use super::raw_cache::RawCache;

impl Compiler {
    /// `limits` is the section `redis`, as written and as compiled.
    pub(super) fn shared_cache(
        &mut self,
        raw: Option<&RawCache>,
        limits: Option<(&RawRedis, Option<&Redis>)>,
    ) -> Option<Arc<Redis>> {
        let raw = raw?;
        let wanted = raw.shared.as_ref().map(|shared| shared.value);
        let at = raw.shared.as_ref().map(|shared| &shared.referenced);
        match (&raw.redis, limits) {
            (Some(own), _) => {
                if wanted == Some(false) {
                    self.error(at, "cache.shared", "it is false, but there is `cache.redis`: leave one out".to_owned());
                }
                for (name, span) in [
                    ("lease", own.lease.as_ref().map(|lease| &lease.referenced)),
                    ("slice_percent", own.slice_percent.as_ref().map(|percent| &percent.referenced)),
                ] {
                    if span.is_some() {
                        let path = format!("cache.redis.{name}");
                        self.error(span, &path, "it is for limits: the cache has none".to_owned());
                    }
                }
                self.redis(own, "cache.redis").map(Arc::new)
            }
            (None, Some((_, compiled))) if wanted != Some(false) => compiled.cloned().map(Arc::new),
            (None, None) if wanted == Some(true) => {
                self.error(at, "cache.shared", "it needs the section `redis`, or `cache.redis`".to_owned());
                None
            }
            (None, _) => None,
        }
    }
}
