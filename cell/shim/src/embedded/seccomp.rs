//! A container's seccomp profile, from its OCI configuration to what the kernel is given. The
//! filters of several actions are installed one after the other: the strictest of their answers
//! counts.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde_json::Value;

use super::syscalls;

/// What of one action is said: rules by the call's number.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters of an OCI configuration; none where it has no profile. Calls that this machine does
/// not have, and programs of other architectures, are left out: those are killed at their first
/// call.
pub(super) fn filters(config: &Value) -> Result<Vec<BpfProgram>, String> {
    let profile = &config["linux"]["seccomp"];
    if profile.is_null() {
        return Ok(Vec::new());
    }
    let default = action(profile, "defaultAction", "defaultErrnoRet")?;
    let mut groups: Vec<(SeccompAction, Rules)> = Vec::new();
    for entry in list(profile, "syscalls")? {
        let wanted = action(entry, "action", "errnoRet")?;
        if wanted == default {
            continue;
        }
        let at = groups.iter().position(|(known, _)| *known == wanted);
        let at = at.unwrap_or_else(|| {
            groups.push((wanted, Rules::new()));
            groups.len() - 1
        });
        add(&mut groups[at].1, entry)?;
    }
    let refused: Vec<i64> = groups
        .iter()
        .filter(|(action, _)| *action != SeccompAction::Allow)
        .flat_map(|(_, rules)| rules.keys().copied())
        .collect();
    let compiled = groups.into_iter().map(|(action, mut rules)| {
        // One that another filter refuses must not get the default's refusal from this one.
        if action == SeccompAction::Allow {
            refused.iter().for_each(|number| drop(rules.insert(*number, Vec::new())));
            compile(rules, default.clone(), action)
        } else {
            compile(rules, SeccompAction::Allow, action)
        }
    });
    compiled.collect()
}

fn add(rules: &mut Rules, entry: &Value) -> Result<(), String> {
    let conditions = match entry.get("args") {
        Some(_) => list(entry, "args")?.iter().map(condition).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    for name in list(entry, "names")? {
        let name = name.as_str().ok_or("a system call's name is no text")?;
        let Some(number) = syscalls::number(name) else { continue };
        let known = rules.get(&number).is_some_and(Vec::is_empty);
        let chain = rules.entry(number).or_default();
        if conditions.is_empty() {
            // Without conditions it is always meant, whatever else is said of it.
            chain.clear();
        } else if !known {
            chain.push(SeccompRule::new(conditions.clone()).map_err(|e| format!("{name}: {e}"))?);
        }
    }
    Ok(())
}

fn condition(entry: &Value) -> Result<SeccompCondition, String> {
    let number = |name: &str| entry[name].as_u64().ok_or(format!("an argument has no {name}"));
    let (index, value) = (number("index")?, number("value")?);
    let (operator, value) = match entry["op"].as_str().unwrap_or_default() {
        "SCMP_CMP_EQ" => (SeccompCmpOp::Eq, value),
        "SCMP_CMP_NE" => (SeccompCmpOp::Ne, value),
        "SCMP_CMP_LT" => (SeccompCmpOp::Lt, value),
        "SCMP_CMP_LE" => (SeccompCmpOp::Le, value),
        "SCMP_CMP_GT" => (SeccompCmpOp::Gt, value),
        "SCMP_CMP_GE" => (SeccompCmpOp::Ge, value),
        "SCMP_CMP_MASKED_EQ" => {
            (SeccompCmpOp::MaskedEq(value), entry["valueTwo"].as_u64().unwrap_or(0))
        }
        other => return Err(format!("an argument is compared by {other:?}")),
    };
    let index = u8::try_from(index).map_err(|e| e.to_string())?;
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value)
        .map_err(|e| e.to_string())
}

fn action(of: &Value, name: &str, errno: &str) -> Result<SeccompAction, String> {
    match of[name].as_str().unwrap_or_default() {
        "SCMP_ACT_ALLOW" => Ok(SeccompAction::Allow),
        "SCMP_ACT_ERRNO" => {
            let number = of[errno].as_u64().unwrap_or(libc::EPERM.unsigned_abs().into());
            Ok(SeccompAction::Errno(u32::try_from(number).map_err(|e| e.to_string())?))
        }
        "SCMP_ACT_KILL_PROCESS" => Ok(SeccompAction::KillProcess),
        other => Err(format!("the seccomp profile's {name} is {other:?}")),
    }
}

fn list<'a>(of: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    of[name].as_array().ok_or_else(|| format!("the seccomp profile has no list of {name}"))
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, String> {
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
    let filter = SeccompFilter::new(rules, otherwise, action, machine);
    let program = filter.and_then(BpfProgram::try_from);
    program.map_err(|e| format!("the seccomp profile cannot be compiled: {e}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(syscalls: Value) -> Value {
        json!({"linux": {"seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": syscalls,
        }}})
    }

    #[test]
    fn each_action_but_the_default_is_a_filter() {
        let both = profile(json!([
            {"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
        ]));
        assert_eq!(filters(&both).unwrap().len(), 2);
        assert_eq!(filters(&json!({"linux": {}})).unwrap().len(), 0);
    }

    #[test]
    fn what_is_not_understood_is_refused_and_not_left_out() {
        let allow = "SCMP_ACT_ALLOW";
        for (syscalls, expected) in [
            (json!([{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]), "SCMP_ACT_NOTIFY"),
            (json!([{"names": "read", "action": allow}]), "list of names"),
            (
                json!([{"names": ["read"], "action": allow, "args": [{"index": 0, "value": 1, "op": "X"}]}]),
                "\"X\"",
            ),
            (json!({}), "list of syscalls"),
        ] {
            let error = filters(&profile(syscalls)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
