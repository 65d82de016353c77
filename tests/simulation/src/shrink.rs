//! Makes a failing script shorter while it fails: first by halves, then line by line, then
//! cell by cell.

use crate::sabotage::Sabotage;
use crate::script::{Happening, Script};
use crate::{Violation, run};

/// No more runs than that.
const RUNS_MAX: u32 = 600;

/// The shortest script found that fails, and how it does; `None` when the script does not fail.
pub fn shrink(script: &Script, sabotage: Sabotage) -> Option<(Script, Violation)> {
    let mut violation = run(script, sabotage).err()?;
    let mut best = script.clone();
    let mut runs = 0;
    let mut chunk = best.happenings.len().div_ceil(2);
    while chunk > 0 && runs < RUNS_MAX {
        let mut start = 0;
        let mut has_shrunk = false;
        while start < best.happenings.len() && runs < RUNS_MAX {
            let shorter = without(&best, start, chunk);
            runs += 1;
            match run(&shorter, sabotage) {
                Err(found) => {
                    (best, violation, has_shrunk) = (shorter, found, true);
                }
                Ok(_) => start += chunk,
            }
        }
        if chunk == 1 && !has_shrunk {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk.div_ceil(2) };
    }
    while best.cells.len() > 1 {
        let mut smaller = best.clone();
        smaller.cells.pop();
        match run(&smaller, sabotage) {
            Err(found) => (best, violation) = (smaller, found),
            Ok(_) => break,
        }
    }
    Some((best, violation))
}

fn without(script: &Script, start: usize, count: usize) -> Script {
    let is_kept = |(n, _): &(usize, &Happening)| *n < start || *n >= start + count;
    let kept = script.happenings.iter().enumerate().filter(is_kept);
    Script { happenings: kept.map(|(_, one)| one.clone()).collect(), ..script.clone() }
}
