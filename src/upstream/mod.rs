//! Providers as the gateway reaches them: one HTTP pool each, what they are shown, the errors of
//! dialling, and what is known of every target: its load, its health, its retry budget, and which one is next. Only this
//! folder knows the HTTP client.

mod balance;
mod blame;
mod body;
mod budget;
mod checks;
mod credentials;
mod embed;
mod health;
mod http1;
mod load;
mod model;
mod outgoing;
mod pool;
mod prefix;
mod registry;
mod tail;
mod target;
mod trust;
mod window;

pub use balance::{Why, local_number};
pub use blame::Blame;
pub use checks::check;
pub use embed::{NoVectors, Texts, Vectors, embed};
pub use health::Standing;
pub use model::{Asked, ModelState, Picked, bit};
pub use pool::{Incoming, Signed, Upstreams};
pub use prefix::chain;
pub use registry::Targets;
pub use tail::{Pieces, Tail};
pub use target::{Mode, Override, Serving, TargetState};
pub use trust::untrusted;
