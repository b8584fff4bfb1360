/// All incidents of `tests/incidents/`, in the order in which they were found.
const INCIDENTS: [Incident; 7] = [
    Incident {
        name: "hole-in-a-book",
        venues: ["binance-usdm", "okx"],
        faults: "[[fault]]\nkind = 'gap'\non = 'market'\nat_s = [7, 7.4, 7.8]\n",
        seconds: 11,
        around: "+7.4s",
        window: [SECOND, SECOND],
        expect: r#"violations = 0

[[expect]]
name = "a book with a hole is not served"
eventually = "not book.live"

[[expect]]
name = "a book that is not whole is not priced from"
never = "book.served and not book.live"

[[expect]]
name = "and it comes back"
always = "book.live"
at = "end"
"#,
        notes: "# A hole in the messages of a book\n\nBug: a book whose continuity was lost was asked for on one of two \
                connections only and could stay away, or be priced from (fix: \"okx: a lost book is asked for on both \
                connections\").\n\nA message of market data is not sent, three times.\n",
    },
    Incident {
        name: "fills-told-twice",
        venues: ["binance-usdm", "okx"],
        faults: "[[fault]]\nkind = 'duplicate'\non = 'private'\nper_minute = 3000\n",
        seconds: 11,
        around: "+7s",
        window: [2 * SECOND, 2 * SECOND],
        expect: r#"violations = 0

[[expect]]
name = "the stretch holds fills"
count = "fills >= 1"

[[expect]]
name = "nothing is somebody else's"
count = "foreign_fills == 0"
"#,
        notes: "# Fills told twice\n\nBug: a fill that the venue tells twice was counted twice: positions and results were \
                wrong, and a hedge was sent for what was never open (fix: fills are known by the venue's trade id in \
                `core/order`).\n\nMost messages of orders and accounts come twice.\n",
    },
    Incident {
        name: "taken-during-an-outage",
        venues: ["binance-usdm", "okx"],
        faults: "[[fault]]\nkind = 'maintenance'\nvenue = 'okx'\nat_s = [6, 16, 26]\nfor_ms = 3_000\n\
                 [[fault]]\nkind = 'adl'\nvenue = 'okx'\nat_s = [7, 17, 27]\n",
        seconds: 34,
        around: "+10s",
        window: [5 * SECOND, 3 * SECOND],
        expect: r#"violations = 0

[[expect]]
name = "what the venue took away is found"
count = "foreign_fills >= 1"

[[expect]]
name = "once"
count = "foreign_fills <= 1"
"#,
        notes: "# Deleveraged during an outage\n\nBug: what a venue took away while its stream was down was never told, and \
                the other leg stayed open (fix: the account is read again after an outage, and the difference booked as a \
                foreign execution).\n\nOKX is away for three seconds and deleverages meanwhile.\n",
    },
    Incident {
        name: "acknowledgements-lost",
        venues: ["binance-usdm", "okx"],
        faults: "[[fault]]\nkind = 'ack_lost'\nper_minute = 600\n",
        seconds: 13,
        around: "+7.5s",
        window: [2 * SECOND, 3 * SECOND],
        expect: r#"violations = 0

[[expect]]
name = "orders are under way"
count = "orders >= 1"

[[expect]]
name = "no order is sent again: what became of it is asked"
eventually = "input == http_reply or order.state == unknown"
"#,
        notes: "# Acknowledgements lost\n\nBug: an order of which nothing was heard was taken for refused (fix: \"binance: \
                fills that the user stream lost are asked for\", \"tests: lost acknowledgements\"): it may be filled.\n\n\
                Many messages about orders are lost.\n",
    },
    Incident {
        name: "price-band",
        venues: ["binance-usdm", "okx"],
        faults: "[[fault]]\nkind = 'price_band'\nband_bps = 1\nfor_ms = 3_000\nat_s = [6]\n",
        seconds: 12,
        around: "+7.5s",
        window: [2 * SECOND, 2 * SECOND],
        expect: r#"violations = 0

[[expect]]
name = "nothing is left over at the end"
never = "residual != 0"
at = "end"
"#,
        notes: "# A price band that closes in\n\nBug: limit prices beyond the venue's band were refused by it, and with them \
                the exit of a trade (fix: \"core, venue: limit prices are clipped to the price band that a venue \
                states\").\n\nFor three seconds orders must lie within one basis point of the mark.\n",
    },
    Incident {
        name: "locked-contract",
        venues: ["binance-usdm", "okx"],
        faults: "[[fault]]\nkind = 'symbol_lock'\nvenue = 'binance-usdm'\nper_minute = 60\nfor_ms = 2_000\n",
        seconds: 14,
        around: "+8s",
        window: [3 * SECOND, 3 * SECOND],
        expect: r#"violations = 0

[[expect]]
name = "the lock is seen"
eventually = "event == lock"
"#,
        notes: "# A contract that Binance locks\n\nBug: a contract on which the venue took reductions only was entered again \
                and again, each time on one leg (fix: \"a contract that Binance locks is left alone\").\n\nBinance locks the \
                contract for two seconds at a time.\n",
    },
    Incident {
        name: "fills-before-acknowledgements",
        venues: ["binance-usdm", "okx"],
        faults: "[[fault]]\nkind = 'fill_before_ack'\nper_minute = 600\nfor_ms = 20\n\
                 [[fault]]\nkind = 'partial_fill'\nper_minute = 600\n",
        seconds: 12,
        around: "+7s",
        window: [2 * SECOND, 3 * SECOND],
        expect: r#"violations = 0

[[expect]]
name = "the stretch holds fills"
count = "fills >= 1"

[[expect]]
name = "each is ours"
count = "foreign_fills == 0"
"#,
        notes: "# Fills before acknowledgements\n\nBug: the news of a fill that overtook the acknowledgement of its order was \
                taken for somebody else's (fix: an order is known from the moment at which its message is made).\n\nFills \
                come first, and often in part.\n",
    },
];
