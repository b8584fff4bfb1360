//! What the venue's quantitative rules say of our account (`apiTradingStatus`): symbols on which it takes only
//! orders that reduce, because too many of ours did not trade, and until when.

use super::symbols::Listings;
use crate::domain::event::EventBody;
use crate::domain::standing::TradingLock;
use crate::domain::time::{MILLI, Nanos};
use crate::venue::json::{Cursor, Kind};
use crate::venue::{OddKind, Out};
use serde::{Deserialize, Serialize};

/// Stands where a symbol would: the lock is of the whole account.
const ACCOUNT: &[u8] = b"ACCOUNT";

/// True for a refusal that says that only reductions are taken: -4400 (quantitative rules), -4401 (compliance).
pub const fn is_lock(code: i32) -> bool {
    matches!(code, -4400 | -4401)
}

/// Until when each listing is locked, as last told; venue time, 0 = open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Locks {
    told: Vec<Nanos>,
    read: Vec<Nanos>,
    /// `mono` of the last reply.
    pub read_at: Nanos,
}

impl Locks {
    /// For so many listings, all open.
    pub fn new(listings: usize) -> Self {
        Self { told: vec![0; listings], read: vec![0; listings], read_at: 0 }
    }

    /// Reads a reply that came at `now` (`mono`) and tells what is other than before. A symbol that is not named is open.
    ///
    /// # Errors
    /// When it is no such reply; nothing is told then.
    pub fn on_status(
        &mut self,
        body: &[u8],
        listings: &Listings,
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), OddKind> {
        self.read_at = now;
        let Self { told, read, .. } = self;
        read.fill(0);
        let mut is_status = false;
        let mut cursor = Cursor::new(body);
        cursor
            .object(|key, cursor| match key {
                b"indicators" => {
                    is_status = true;
                    cursor.object(|symbol, cursor| {
                        let mut until = 0;
                        cursor.array(|cursor| {
                            until = until.max(indicator(cursor)?);
                            Ok(())
                        })?;
                        if symbol == ACCOUNT {
                            read.iter_mut().for_each(|at| *at = until.max(*at));
                        } else if let Some(index) = listings.find(symbol) {
                            read[index] = until.max(read[index]);
                        }
                        Ok(())
                    })
                }
                _ => cursor.skip(),
            })
            .and_then(|()| cursor.end())
            .map_err(|_| OddKind::Malformed)?;
        if !is_status {
            return Err(OddKind::Malformed);
        }
        for (index, (told, read)) in told.iter_mut().zip(read).enumerate() {
            if *told != *read {
                *told = *read;
                let instrument = listings.params(index).id;
                out.event(EventBody::Lock(TradingLock { instrument, until: *read }));
            }
        }
        Ok(())
    }
}

/// Until when an indicator locks; 0 = it does not. Without a time it does until the venue says otherwise.
fn indicator(cursor: &mut Cursor<'_>) -> Result<Nanos, crate::venue::message::DecodeError> {
    let (mut locked, mut recover) = (false, None);
    cursor.object(|key, cursor| match key {
        b"isLocked" => cursor.boolean("isLocked").map(|flag| locked = flag),
        b"plannedRecoverTime" if cursor.kind()? == Kind::Null => cursor.skip(),
        b"plannedRecoverTime" => cursor.int("plannedRecoverTime").map(|ms| recover = Some(ms)),
        _ => cursor.skip(),
    })?;
    let until = recover.filter(|ms| *ms > 0).map_or(Nanos::MAX, |ms| ms.saturating_mul(MILLI));
    Ok(if locked { until } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::Emit;
    use crate::venue::binance::tests::listings;

    fn told(locks: &mut Locks, body: &str) -> Result<Vec<(u16, Nanos)>, OddKind> {
        let mut out = Out::default();
        locks.on_status(body.as_bytes(), &listings(), 1, &mut out)?;
        let lock = |item: &Emit| match item {
            Emit::Event(EventBody::Lock(lock)) => Some((lock.instrument.0, lock.until)),
            _ => None,
        };
        Ok(out.items().iter().filter_map(lock).collect())
    }

    #[test]
    fn a_symbol_is_locked_as_long_as_the_last_of_its_indicators_and_open_when_none_is_stated() {
        let ids = [0, 1].map(|index| listings().params(index).id.0);
        let mut locks = Locks::new(listings().len());
        let body = r#"{"indicators":{
            "BTCUSDT":[{"isLocked":true,"plannedRecoverTime":1545741270000,"indicator":"UFR","value":0.05,"triggerValue":0.995},
                {"isLocked":true,"plannedRecoverTime":1545741271000,"indicator":"GCR","value":0.99,"triggerValue":0.99},
                {"isLocked":false,"plannedRecoverTime":null,"indicator":"DR","value":0.1,"triggerValue":0.99}],
            "XYZUSDT":[{"isLocked":true,"plannedRecoverTime":1545741270000,"indicator":"UFR"}]},"updateTime":1545741260000}"#;
        assert_eq!(told(&mut locks, body), Ok(vec![(ids[0], 1_545_741_271_000 * MILLI)]));
        assert_eq!(told(&mut locks, body), Ok(vec![]), "nothing new");
        let all = r#"{"indicators":{"ACCOUNT":[{"indicator":"TMV","value":10,"triggerValue":1,"plannedRecoverTime":null,"isLocked":true}]},"updateTime":1}"#;
        let every = told(&mut locks, all).unwrap();
        assert!(every.len() == listings().len() && every.iter().all(|(_, until)| *until == Nanos::MAX));
        let open = told(&mut locks, r#"{"indicators":{},"updateTime":1}"#).unwrap();
        assert!(open.len() == listings().len() && open.iter().all(|(_, until)| *until == 0));
        for wrong in ["[]", "{}", r#"{"indicators":{"BTCUSDT":7}}"#, r#"{"code":-1121,"msg":"x"}"#] {
            assert_eq!(told(&mut locks, wrong), Err(OddKind::Malformed), "{wrong}");
        }
    }
}
