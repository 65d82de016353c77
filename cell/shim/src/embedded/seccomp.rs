//! A container's seccomp profile, from its OCI configuration to what the kernel is given. The
//! filters of several actions are installed one after the other: the strictest of their answers
//! counts. Each filter has a part for every kind of program that may run, whose calls have numbers
//! of their own.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use serde_json::Value;

use super::syscalls;

/// What of one action is said: rules by the call's number.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// A kind of program that this machine runs.
struct Machine {
    /// How the kernel tells its calls from those of others (`AUDIT_ARCH_*`); `None` for this
    /// machine's own kind.
    mark: Option<u32>,
    number: fn(&str) -> Option<c_long>,
}

/// The filters of an OCI configuration; none where it has no profile. Calls that a machine does not
/// have are left out. Programs of machines that the profile does not name, or that are not known
/// here, are killed at their first call.
pub(super) fn filters(config: &Value) -> Result<Vec<BpfProgram>, String> {
    let profile = &config["linux"]["seccomp"];
    if profile.is_null() {
        return Ok(Vec::new());
    }
    let mut filters: Vec<BpfProgram> = Vec::new();
    for machine in machines(profile) {
        // The same actions in the same order for each machine.
        for (at, part) in parts(profile, &machine)?.into_iter().enumerate() {
            match filters.get_mut(at) {
                Some(filter) => put_before(filter, part)?,
                None => filters.push(part),
            }
        }
    }
    Ok(filters)
}

/// This machine's own kind, and those that the profile names besides. The last is asked for first.
fn machines(profile: &Value) -> Vec<Machine> {
    let mut machines = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if profile["architectures"].as_array().is_some_and(|all| all.contains(&"SCMP_ARCH_X86".into()))
    {
        machines.push(Machine { mark: Some(AUDIT_ARCH_I386), number: syscalls::x86::number });
    }
    machines.push(Machine { mark: None, number: syscalls::number });
    machines
}

/// What is said of the calls of one machine: a part for each action.
fn parts(profile: &Value, machine: &Machine) -> Result<Vec<BpfProgram>, String> {
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
        add(&mut groups[at].1, entry, machine)?;
    }
    let refused: Vec<i64> = groups
        .iter()
        .filter(|(action, _)| *action != SeccompAction::Allow)
        .flat_map(|(_, rules)| rules.keys().copied())
        .collect();
    let compiled = groups.into_iter().map(|(action, mut rules)| {
        // One that another filter refuses must not get the default's refusal from this one.
        let part = if action == SeccompAction::Allow {
            refused.iter().for_each(|number| drop(rules.insert(*number, Vec::new())));
            compile(rules, default.clone(), action)
        } else {
            compile(rules, SeccompAction::Allow, action)
        };
        part.map(|part| marked(part, machine))
    });
    compiled.collect()
}

fn add(rules: &mut Rules, entry: &Value, machine: &Machine) -> Result<(), String> {
    let conditions = match entry.get("args") {
        Some(_) => list(entry, "args")?.iter().map(condition).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    for name in list(entry, "names")? {
        let name = name.as_str().ok_or("a system call's name is no text")?;
        let Some(number) = (machine.number)(name) else { continue };
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

/// A program begins with three instructions: load the mark, pass if it is the machine's, kill.
const MARK: usize = 1;
const KILL: usize = 2;
const BEGIN: usize = 3;
/// The mark of 32-bit x86.
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH_I386: u32 = 0x4000_0003;
/// The most instructions that a kernel takes at once.
const INSTRUCTIONS_MAX: usize = 4096;

// Instructions, as `linux/bpf_common.h` composes their codes.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, String> {
    let unable = |e: &dyn std::error::Error| format!("the seccomp profile cannot be compiled: {e}");
    let native = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| unable(&e))?;
    let (always, conditional): (Rules, Rules) =
        rules.into_iter().partition(|(_, conditions)| conditions.is_empty());
    let filter = SeccompFilter::new(conditional, otherwise, action.clone(), native);
    let mut program = filter.and_then(BpfProgram::try_from).map_err(|e| unable(&e))?;
    // What is always meant comes first and has two instructions a call instead of five: kernels look
    // through all of them for each call's number when a process gets its filter.
    let answer = instruction(RETURN, u32::from(action));
    let mut first = vec![instruction(LOAD, 0)];
    for number in always.into_keys() {
        let number = u32::try_from(number).map_err(|e| unable(&e))?;
        let is_it = sock_filter { jf: 1, ..instruction(JUMP_IF_EQUAL, number) };
        first.extend([is_it, answer.clone()]);
    }
    program.splice(BEGIN..BEGIN, first);
    Ok(program)
}

/// The program for calls of this machine alone.
fn marked(mut program: BpfProgram, machine: &Machine) -> BpfProgram {
    if let Some(mark) = machine.mark {
        program[MARK].k = mark;
    }
    program
}

/// Puts another machine's part before a filter: what it would kill goes on to the filter.
fn put_before(filter: &mut BpfProgram, mut part: BpfProgram) -> Result<(), String> {
    let length = filter.len() + part.len();
    if length > INSTRUCTIONS_MAX {
        return Err(format!(
            "the seccomp profile has {length} instructions; {INSTRUCTIONS_MAX} may be"
        ));
    }
    let rest = u32::try_from(part.len() - BEGIN).expect("it is a small number");
    part[KILL] = instruction(JUMP, rest);
    filter.splice(0..0, part);
    Ok(())
}

fn instruction(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
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

    /// What the kernel would say to a call of a machine of this mark.
    fn answer(filters: &[BpfProgram], mark: u32, number: i64, first_argument: u32) -> u32 {
        let answers = filters.iter().map(|program| {
            let (mut at, mut loaded) = (0, 0);
            loop {
                let sock_filter { code, jt, jf, k } = program[at];
                at += 1;
                let mut jump = |is_so: bool| at += usize::from(if is_so { jt } else { jf });
                match code {
                    LOAD => {
                        loaded = match k {
                            0 => u32::try_from(number).unwrap(),
                            4 => mark,
                            16 => first_argument,
                            _ => 0,
                        }
                    }
                    JUMP_IF_EQUAL => jump(loaded == k),
                    0x25 => jump(loaded > k),
                    0x35 => jump(loaded >= k),
                    0x54 => loaded &= k,
                    JUMP => at += k as usize,
                    RETURN => return k,
                    other => panic!("{other:#x}"),
                }
            }
        });
        // The kernel takes the strictest, which has the lowest number.
        answers.min().unwrap_or(libc::SECCOMP_RET_ALLOW)
    }

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const fn refused(errno: u32) -> u32 {
        libc::SECCOMP_RET_ERRNO | errno
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn programs_of_each_machine_that_is_named_are_filtered_by_their_own_numbers() {
        const X86_64: u32 = 0xc000_003e;
        const AARCH64: u32 = 0xc000_00b7;
        let mut profile = profile(json!([
            {"names": ["read", "socketcall"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ]));
        profile["linux"]["seccomp"]["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        let both = filters(&profile).unwrap();
        profile["linux"]["seccomp"]["architectures"] = json!(["SCMP_ARCH_X86_64"]);
        let one = filters(&profile).unwrap();
        let killed = libc::SECCOMP_RET_KILL_PROCESS;
        for (mark, number, argument, expected, of_one) in [
            (X86_64, libc::SYS_read, 0, ALLOWED, ALLOWED),
            (X86_64, libc::SYS_close, 0, refused(1), refused(1)),
            (X86_64, libc::SYS_personality, 8, ALLOWED, ALLOWED),
            (X86_64, libc::SYS_personality, 9, refused(1), refused(1)),
            (X86_64, libc::SYS_clone3, 0, refused(38), refused(38)),
            (AUDIT_ARCH_I386, 3, 0, ALLOWED, killed), // read
            (AUDIT_ARCH_I386, 0, 0, refused(1), killed), // restart_syscall; read on x86_64
            (AUDIT_ARCH_I386, 102, 0, ALLOWED, killed), // socketcall
            (AUDIT_ARCH_I386, 136, 8, ALLOWED, killed), // personality
            (AUDIT_ARCH_I386, 136, 9, refused(1), killed),
            (AUDIT_ARCH_I386, 435, 0, refused(38), killed), // clone3
            (AARCH64, libc::SYS_read, 0, killed, killed),
        ] {
            let of_both = answer(&both, mark, number, argument);
            assert_eq!(of_both, expected, "{mark:#x} {number} {argument}");
            let of_this = answer(&one, mark, number, argument);
            assert_eq!(of_this, of_one, "{mark:#x} {number} {argument}");
        }
    }

    #[test]
    fn a_profile_with_more_than_a_kernel_takes_is_refused_with_amounts() {
        let mut filter = vec![instruction(RETURN, 0); 4_000];
        let error = put_before(&mut filter, vec![instruction(RETURN, 0); 97]);
        assert_eq!(error.unwrap_err(), "the seccomp profile has 4097 instructions; 4096 may be");
        assert_eq!(filter.len(), 4_000);
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
