//! The reply to `metaAndAssetCtxs`: what is listed where in the universe, and at which price.
//!
//! An asset's number is its place in the list, which only grows; delisted entries keep their place. There
//! is no tick: a price has at most five significant figures, so the step follows the price. It is chosen
//! for the present mark price; the encoder makes every price valid at the moment of sending.

use super::action::{DECIMALS_MAX, tick_at};
use super::parse::Result;
use crate::domain::instrument::{BandRatio, ContractKind, InstrumentId, Status, VenueSpec};
use crate::domain::number::Num;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;

/// Smallest notional of an order that is not reduce-only, USDC.
const NOTIONAL_MIN: Num = Num::new(10, 0);

/// Orders may lie so far from the reference price. *verify*: only the venue's refusals tell it, older ones of 80 and
/// newer ones of 95 per cent, and that the mark is that price is assumed; the narrower is taken.
const BAND: Option<BandRatio> = Some(BandRatio { up: 1_800_000_000, down: 200_000_000 });

/// One entry of the universe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Asset {
    /// Its place: the asset number in orders.
    pub index: u64,
    /// Decimals of sizes.
    pub size_decimals: u8,
    /// No longer traded.
    pub delisted: bool,
    /// `markPx`, where the second list states one.
    pub mark: Option<Num>,
}

impl Asset {
    /// As a contract specification of `instrument`.
    pub fn spec(&self, instrument: InstrumentId) -> VenueSpec {
        let step = Num::new(1, self.size_decimals);
        VenueSpec {
            instrument,
            kind: ContractKind::Linear,
            multiplier: Num::new(1, 0),
            tick: tick_at(self.mark, DECIMALS_MAX.saturating_sub(self.size_decimals)),
            step,
            qty_min: step,
            qty_max: Num::ZERO,
            notional_min: NOTIONAL_MIN,
            status: if self.delisted { Status::Suspended } else { Status::Trading },
            code: self.index,
            band: BAND,
        }
    }
}

/// Reads the reply. `find` says which of our listings a name is; the assets come out by listing.
pub(super) fn read(
    body: &[u8],
    listings: usize,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> Result<Vec<Option<Asset>>> {
    let mut assets: Vec<Option<Asset>> = vec![None; listings];
    let mut c = Cursor::new(body);
    let mut part = 0;
    c.array(|c| {
        part += 1;
        match part {
            1 => c.object(|key, c| {
                if key != b"universe" {
                    return c.skip();
                }
                let mut index = 0;
                c.array(|c| {
                    let (name, asset) = asset(c, index)?;
                    index += 1;
                    if let Some(at) = find(name) {
                        assets[at] = Some(asset);
                    }
                    Ok(())
                })
            }),
            2 => {
                let mut index = 0;
                c.array(|c| {
                    let ours = assets.iter_mut().flatten().find(|asset| asset.index == index);
                    index += 1;
                    match ours {
                        Some(asset) => context(c, asset),
                        None => c.skip(),
                    }
                })
            }
            _ => c.skip(),
        }
    })?;
    c.end()?;
    if part < 2 {
        return Err(DecodeError::Missing("universe"));
    }
    Ok(assets)
}

fn asset<'a>(c: &mut Cursor<'a>, index: u64) -> Result<(&'a [u8], Asset)> {
    let (mut name, mut decimals, mut delisted): (Option<&[u8]>, _, _) = (None, None, false);
    c.object(|key, c| {
        match key {
            b"name" => name = Some(c.string()?),
            b"szDecimals" => decimals = Some(c.uint("szDecimals")?),
            b"isDelisted" if c.kind()? == Kind::Bool => delisted = c.boolean("isDelisted")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let decimals = decimals.ok_or(DecodeError::Missing("szDecimals"))?;
    let size_decimals = u8::try_from(decimals).ok().filter(|decimals| *decimals <= DECIMALS_MAX);
    let asset = Asset {
        index,
        size_decimals: size_decimals.ok_or(DecodeError::Field("szDecimals"))?,
        delisted,
        mark: None,
    };
    Ok((name.ok_or(DecodeError::Missing("name"))?, asset))
}

fn context(c: &mut Cursor<'_>, asset: &mut Asset) -> Result<()> {
    if c.kind()? != Kind::Object {
        return c.skip();
    }
    c.object(|key, c| {
        if key == b"markPx" {
            asset.mark = c.num_or_absent("markPx")?;
            return Ok(());
        }
        c.skip()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_sizes_steps_and_delistings_are_read() {
        let body = br#"[{"universe":[{"szDecimals":2,"name":"SOL"},{"name":"MATIC","szDecimals":1,"isDelisted":true},
            {"szDecimals":5,"name":"BTC","isDelisted":null,"maxLeverage":40}],"marginTables":[[1,{}]]},
            [{"markPx":"150.25"},{"markPx":null},{"funding":"0.1","markPx":"61000.0"}]]"#;
        let names = [&b"BTC"[..], b"MATIC", b"GONE"];
        let assets = read(body, 3, |name| names.iter().position(|have| *have == name)).unwrap();
        let btc = assets[0].unwrap().spec(InstrumentId(4));
        assert_eq!(
            (btc.code, btc.tick, btc.step, btc.status),
            (2, Num::new(1, 0), Num::new(1, 5), Status::Trading)
        );
        let matic = assets[1].unwrap().spec(InstrumentId(5));
        assert_eq!((matic.code, matic.tick, matic.status), (1, Num::new(1, 5), Status::Suspended));
        assert_eq!(assets[2], None);
        assert!(read(b"[{\"universe\":[]}]", 0, |_| None).is_err());
    }
}
