//! What the channels of Hyperliquid are documented to hold beside what is read here (documentation of May 2026
//! and captured messages). A key outside these lists is drift.

use crate::venue::drift::Words;
use crate::venue::shape::Shape;

/// The envelope has nothing but what is read.
pub(super) const ENVELOPE: Words = Words::new(&[]);
/// `l2Book` has nothing but what is read.
pub(super) const BOOK: Words = Words::new(&[]);
/// A level of `l2Book` or `bbo`.
pub(super) const LEVEL: Words = Words::new(&["n"]);
/// `bbo` has nothing but what is read.
pub(super) const BBO: Words = Words::new(&[]);
/// `trades`.
pub(super) const TRADE: Words = Words::new(&["hash", "users"]);
/// `activeAssetCtx` has nothing but what is read around its figures.
pub(super) const CONTEXT: Words = Words::new(&[]);
/// The figures of `activeAssetCtx`.
pub(super) const FIGURES: Words =
    Words::new(&["dayNtlVlm", "dayBaseVlm", "prevDayPx", "midPx", "premium", "impactPxs"]);

/// The private channels.
pub(super) const PRIVATE: &[Shape] = &[
    Shape {
        channel: "orderUpdates",
        levels: &[
            Words::new(&["channel", "data"]),
            Words::new(&["order", "status", "statusTimestamp"]),
            Words::new(&[
                "children",
                "cloid",
                "coin",
                "isPositionTpsl",
                "isTrigger",
                "limitPx",
                "oid",
                "orderType",
                "origSz",
                "reduceOnly",
                "side",
                "sz",
                "tif",
                "timestamp",
                "triggerCondition",
                "triggerPx",
            ]),
        ],
        values: &[
            (
                "status",
                Words::new(&[
                    "open",
                    "triggered",
                    "filled",
                    "canceled",
                    "marginCanceled",
                    "vaultWithdrawalCanceled",
                    "openInterestCapCanceled",
                    "selfTradeCanceled",
                    "reduceOnlyCanceled",
                    "siblingFilledCanceled",
                    "delistedCanceled",
                    "liquidatedCanceled",
                    "scheduledCancel",
                    "iocCancelRejected",
                    "badAloPxRejected",
                    "perpMarginRejected",
                    "perpMaxPositionRejected",
                    "insufficientSpotBalanceRejected",
                    "reduceOnlyRejected",
                    "oracleRejected",
                    "positionIncreaseAtOpenInterestCapRejected",
                    "positionFlipAtOpenInterestCapRejected",
                    "tooAggressiveAtOpenInterestCapRejected",
                    "openInterestIncreaseRejected",
                    "marketOrderNoLiquidityRejected",
                    "rejected",
                    "tickRejected",
                    "minTradeNtlRejected",
                    "badTriggerPxRejected",
                ]),
            ),
            ("side", Words::new(&["A", "B"])),
            ("tif", Words::new(&["Alo", "Ioc", "Gtc", "FrontendMarket", "LiquidationMarket"])),
        ],
        opaque: &[],
    },
    Shape {
        channel: "userFills",
        levels: &[
            Words::new(&["channel", "data"]),
            Words::new(&["fills", "isSnapshot", "user"]),
            Words::new(&[
                "builder",
                "builderFee",
                "cloid",
                "closedPnl",
                "coin",
                "crossed",
                "deployerFee",
                "dir",
                "fee",
                "feeToken",
                "hash",
                "liquidation",
                "oid",
                "px",
                "side",
                "startPosition",
                "sz",
                "tid",
                "time",
                "twapId",
            ]),
            Words::new(&["liquidatedUser", "markPx", "method"]),
        ],
        values: &[("side", Words::new(&["A", "B"])), ("method", Words::new(&["market", "backstop"]))],
        opaque: &[],
    },
    Shape {
        channel: "userFundings",
        levels: &[
            Words::new(&["channel", "data"]),
            Words::new(&["fundings", "isSnapshot", "user"]),
            Words::new(&["coin", "fundingRate", "nSamples", "szi", "time", "usdc"]),
        ],
        values: &[],
        opaque: &[],
    },
];
