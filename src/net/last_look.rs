//! The last look before a request is written: a connector behind all others that asks a gate when a new
//! connection stands, because making one may have taken seconds.
//!
//! The gate is the calling thread's: requests are blocking, so each thread makes one at a time.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

/// Says whether a request may still be written.
pub type Gate = Rc<dyn Fn() -> bool>;

thread_local! {
    static GATE: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

/// The gate had closed; nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("no longer wanted")]
pub(super) struct Closed;

/// Asks the gate of the calling thread.
#[derive(Debug)]
pub(super) struct LastLook;

impl<In: Transport> Connector<In> for LastLook {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails<'_>, made: Option<In>) -> Result<Option<In>, Error> {
        let open = GATE.with_borrow(|gate| gate.as_ref().is_none_or(|gate| gate()));
        if open { Ok(made) } else { Err(Error::Io(io::Error::new(ErrorKind::PermissionDenied, Closed))) }
    }
}

/// Does `work` with that gate; `None` when it is closed already.
pub(super) fn within<T>(gate: &Gate, work: impl FnOnce() -> T) -> Option<T> {
    if !gate() {
        return None;
    }
    GATE.set(Some(Rc::clone(gate)));
    let done = work();
    GATE.set(None);
    Some(done)
}

/// Whether that error is the gate's word.
pub(super) fn is_closed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}
