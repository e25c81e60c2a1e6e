//! What the rack says at its end.

use std::fmt::Write;

use crate::arguments::Runtime;
use crate::fleet::runtime;
use crate::rack::Rack;
use crate::schedule::Class;
use crate::statistics::{Spans, human};

/// Whether all is as it has to be, and what is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Verdict(Vec<String>);

impl Verdict {
    pub(crate) fn of(rack: &Rack) -> Verdict {
        let overlaps = rack.oracle.violations().len();
        let mut wrong = Vec::new();
        if rack.options.control.is_some() {
            if overlaps == 0 {
                wrong.push("a premise was broken, and nothing showed".to_owned());
            }
            return Verdict(wrong);
        }
        if overlaps > 0 {
            wrong.push(format!("{overlaps} times two led at once, or could have"));
        }
        if rack.rounds.successions < rack.due() {
            let (seen, due) = (rack.rounds.successions, rack.due());
            wrong.push(format!("{seen} fail-overs, where {due} were due"));
        }
        wrong.extend(rack.troubles.iter().cloned());
        Verdict(wrong)
    }

    pub(crate) fn is_good(&self) -> bool {
        self.0.is_empty()
    }
}

/// All of it.
pub(crate) fn text(rack: &Rack, verdict: &Verdict) -> String {
    let mut text = String::from("\n");
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<22}{what}");
    };
    let settings = &rack.options;
    let (guarantee, lease) = (settings.guarantee, 2 * settings.guarantee);
    let on = |wanted| (0..settings.candidates).filter(|&place| runtime(place) == wanted).count();
    let (on_std, on_smol) = (on(Runtime::Std), on(Runtime::Smol));
    let (started, ahead) = rack.fleet.started;
    let tally = rack.sink.tally();
    let violations = rack.oracle.violations();
    line("store", rack.ground.name());
    line("seed", settings.seed.to_string());
    line("minutes", format!("{:.1}, {} rounds", rack.minutes(), rack.rounds.count()));
    line("guarantee", format!("{}, lease {}", human(guarantee), human(lease)));
    line(
        "candidates",
        format!(
            "{on_std} on threads, {on_smol} on smol{}; {started} processes, {ahead} of them with a \
             boot clock ahead",
            if rack.fleet.has_command() { ", one of them a command of tenure run" } else { "" }
        ),
    );
    line("fail-overs", format!("{} (due: {})", rack.rounds.successions, rack.due()));
    line("unprovoked", format!("{} of them", rack.rounds.unprovoked));
    line("yeses", format!("{} of {} answers", rack.oracle.yeses(), rack.oracle.answers()));
    line("overlaps", violations.len().to_string());
    line("stale writes refused", format!("{} of {}", tally.refused, tally.refused + tally.taken));
    for violation in violations.iter().take(10) {
        line("", violation.to_string());
    }
    text.push_str(&gaps(rack));
    text.push_str(&faults(rack));
    for wrong in &verdict.0 {
        let _ = writeln!(text, "WRONG: {wrong}");
    }
    text
}

/// How long nobody led.
fn gaps(rack: &Rack) -> String {
    let mut text = format!(
        "\n{:<34}{:>6}{:>10}{:>10}{:>10}{:>10}  over\n",
        "nobody led after", "times", "median", "p99", "worst", "bound"
    );
    let mut line = |what: &str, spans: &Spans, bound: &str| {
        let at = |of_hundred| spans.percentile(of_hundred).map_or("-".to_owned(), human);
        let (half, tail, worst) = (at(50), at(99), at(100));
        let (count, late) = (spans.count(), spans.late());
        let _ = writeln!(
            text,
            "{what:<34}{count:>6}{half:>10}{tail:>10}{worst:>10}{bound:>10}  {late}"
        );
    };
    for class in Class::ALL {
        let what = match class {
            Class::Polite => "a polite end",
            Class::Crash => "a crash",
            Class::Outage => "an outage, from its end",
            Class::Several => "several faults, from their end",
        };
        line(what, rack.rounds.spans(class), &human(rack.rounds.bounds.of(class)));
    }
    line("in the midst of these two", &rack.rounds.in_the_midst, "");
    text
}

/// What was done, and what could not be.
fn faults(rack: &Rack) -> String {
    let mut text = String::from("\nfaults\n");
    for (fault, count) in &rack.done {
        let _ = writeln!(text, "{count:>6}  {}", fault.name());
    }
    for (what, why) in &rack.impossible {
        let _ = writeln!(text, "  none  {what}: {why}");
    }
    text
}
