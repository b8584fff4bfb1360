//! `run` and the run before it: what is taken over, and how the operator is told.

use super::RunArgs;
use crate::cli::Failure;
use crate::cli::progress::ProgressBar;
use crate::domain::calendar::date;
use crate::domain::carry::{Carry, Ending};
use crate::domain::params::EngineParams;
use crate::topology::restart::previous;
use std::path::Path;

/// What this run takes over from the journals in `root`.
pub(super) fn taken_over(args: &RunArgs, root: &Path, params: &EngineParams) -> Result<Carry, Failure> {
    if args.forget_previous_run {
        return Ok(Carry::forgotten());
    }
    let bar = ProgressBar::new();
    let mut progress =
        |seq: crate::domain::event::Seq| bar.show(0, 0, &format!("the run before: input {}", seq.0));
    Ok(previous(root, args.live, params, &mut progress)?)
}

/// What the operator must know of it, a line each.
pub(super) fn sentences(carry: &Carry, resumes: bool) -> Vec<String> {
    let Carry { standing, .. } = carry;
    let mut told = Vec::new();
    let ended = match carry.ending {
        Ending::First => return told,
        Ending::Ordered => "ended in order",
        Ending::Crashed => "crashed",
        Ending::Forgotten => "does not count, as you said",
    };
    if carry.ending == Ending::Forgotten {
        told.push(format!("the run before {ended}"));
    } else {
        let (year, month, day) = date(standing.day);
        told.push(format!(
            "the run before ({}) {ended}: result of {year}-{month:02}-{day:02} {}, of all runs {} (peak {}), {} failures in a row",
            carry.run, standing.daily, standing.result, standing.peak, standing.failures
        ));
    }
    if standing.reducing {
        told.push(format!(
            "REDUCING: it left {} trade(s), {} order(s); nothing is opened until the accounts are compared and what is \
             held is closed",
            carry.trades.len(),
            carry.orders.len()
        ));
    }
    let killed = standing.venues_killed.iter().filter(|killed| **killed).count();
    if let Some(halt) = standing.halted.filter(|_| !resumes) {
        let why = halt.as_str();
        told.push(format!(
            "HALTED: the run before was {why}; only reductions leave until it is started with --resume"
        ));
    } else if killed > 0 && !resumes {
        told.push(format!(
            "{killed} venue(s) are killed; nothing is opened there until it is started with --resume"
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::carry::{Halt, Standing};

    #[test]
    fn a_halt_says_how_it_ends_and_a_first_run_says_nothing() {
        assert_eq!(sentences(&Carry::default(), false), Vec::<String>::new());
        let standing =
            Standing { halted: Some(Halt::Killed), reducing: true, day: 20_000, ..Standing::default() };
        let carry = Carry { ending: Ending::Crashed, standing, run: "ab12".into(), ..Carry::default() };
        let told = sentences(&carry, false).join("\n");
        for part in ["ab12", "crashed", "2024-10-04", "REDUCING", "HALTED", "killed", "--resume"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!sentences(&carry, true).join("\n").contains("HALTED"), "the operator has said it");
        let told = sentences(&Carry::forgotten(), false).join("\n");
        assert!(told.contains("does not count") && told.contains("HALTED"), "{told}");
    }
}
