//! File descriptors: how many connections they are enough for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xbook::api::Limits;

/// One of so many descriptors may be a connection; the databases and the peers need the others.
const SHARE: u64 = 2;

/// Raises the process' soft limit on descriptors to the hard one, and tells how many connections may be
/// served within it.
pub fn connections() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // What can't be raised stays as it is.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let descriptors = if raised { maximum } else { current };
    let most = Limits::default().connections;
    let fit = descriptors.map_or(most, |descriptors| usize::try_from(descriptors / SHARE).unwrap_or(most));
    fit.clamp(1, most)
}
