//! Refusing system calls (seccomp(2)): a filter that knows the numbers of every architecture whose programs run here.

use std::io;

/// A call by its name and its numbers on x86-64 (and x32), i386, arm64 and arm.
type Call = (&'static str, [u32; 4]);

/// What can be refused.
const CALLS: &[Call] =
    &[("add_key", [248, 286, 217, 309]), ("request_key", [249, 287, 218, 310]), ("keyctl", [250, 288, 219, 311])];

/// The architectures in the order of the numbers, as seccomp_data has them (AUDIT_ARCH_* of linux/audit.h).
const ARCHITECTURES: [u32; 4] = [0xC000_003E, 0x4000_0003, 0xC000_00B7, 0x4000_0028];

/// Where the number and the architecture lie in seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// x32 calls are those of x86-64 with this bit.
const X32: u32 = 0x4000_0000;

/// Has these calls answered as by a kernel without them (ENOSYS), for us and all that come after. Needs no_new_privs.
///
/// # Errors
/// EINVAL: the kernel has no seccomp filters, or a name is unknown here.
pub fn refuse(names: &[String]) -> io::Result<()> {
    let mut calls = Vec::new();
    for name in names {
        calls.push(CALLS.iter().find(|(known, _)| known == name).ok_or(super::errno(libc::EINVAL))?.1);
    }
    let mut filter = program(&calls);
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program outlives the call, and is as long as said.
    let rc = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// For each architecture: is it this one, then is it one of its numbers; all else is allowed.
fn program(calls: &[[u32; 4]]) -> Vec<libc::sock_filter> {
    let op = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    let equal = |k, jt, jf| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, jt, jf);
    let answer = |k| op(libc::BPF_RET | libc::BPF_K, k, 0, 0);
    let mut all = vec![load(ARCHITECTURE)];
    for (n, architecture) in ARCHITECTURES.iter().enumerate() {
        let mut block = vec![load(NUMBER)];
        if n == 0 {
            block.push(op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, !X32, 0, 0));
        }
        for (at, call) in calls.iter().enumerate() {
            // Over the other comparisons and the permission.
            block.push(equal(call[n], (calls.len() - at) as u8, 0));
        }
        block.push(answer(libc::SECCOMP_RET_ALLOW));
        block.push(answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32));
        all.push(equal(*architecture, 0, block.len() as u8));
        all.extend(block);
    }
    all.push(answer(libc::SECCOMP_RET_ALLOW));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with the program, for the instructions that it has.
    fn run(filter: &[libc::sock_filter], architecture: u32, number: u32) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let op = filter[at];
            at += 1;
            match u32::from(op.code) {
                c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    a = if op.k == 0 { number } else { architecture }
                }
                c if c == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => a &= op.k,
                c if c == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => {
                    at += usize::from(if a == op.k { op.jt } else { op.jf })
                }
                _ => return op.k,
            }
        }
    }

    #[test]
    fn each_architecture_has_its_numbers() {
        let filter = program(&CALLS.iter().map(|(_, numbers)| *numbers).collect::<Vec<_>>());
        let refused = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        for (n, architecture) in ARCHITECTURES.iter().enumerate() {
            for (name, numbers) in CALLS {
                assert_eq!(run(&filter, *architecture, numbers[n]), refused, "{name} {architecture:x}");
            }
            for other in [0, 1, 216, 220, 247, 251, 285, 289, 308, 312, 9999] {
                assert_eq!(run(&filter, *architecture, other), libc::SECCOMP_RET_ALLOW, "{other} {architecture:x}");
            }
        }
        assert_eq!(run(&filter, ARCHITECTURES[0], X32 + 250), refused);
        assert_eq!(run(&filter, 0xC000_00F3, 219), libc::SECCOMP_RET_ALLOW);
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        assert!(refuse(&["reboot".into()]).is_err());
    }
}
