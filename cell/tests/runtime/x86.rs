//! Programs of 32 bits on a machine of 64: the default profile lets them run, and refuses them what
//! it refuses others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use lattice_cell::runtime::Runtime as _;
use lattice_cell::runtime::oci::Engine;

use crate::machine::Machine;
use crate::real::run;

/// Where the program is loaded.
const BASE: u32 = 0x0804_8000;
/// The sizes of its headers.
const HEADERS: u16 = 52 + 32;
const SAYS: &[u8] = b"32 bits\n";

/// A static program that writes [`SAYS`], asks for the number of a keyring of its own, which a
/// container may not, and exits with why it was refused.
fn program() -> Vec<u8> {
    #[rustfmt::skip]
    let mut code = vec![
        0xb8, 4, 0, 0, 0,             // mov eax, 4 (write)
        0xbb, 1, 0, 0, 0,             // mov ebx, 1
        0xb9, 0, 0, 0, 0,             // mov ecx, what it says
        0xba, 8, 0, 0, 0,             // mov edx, 8
        0xcd, 0x80,                   // int 0x80
        0xb8, 0x20, 1, 0, 0,          // mov eax, 288 (keyctl)
        0x31, 0xdb,                   // xor ebx, ebx (get the number)
        0xb9, 0xfd, 0xff, 0xff, 0xff, // mov ecx, -3 (KEY_SPEC_SESSION_KEYRING)
        0x31, 0xd2,                   // xor edx, edx
        0xcd, 0x80,                   // int 0x80
        0xf7, 0xd8,                   // neg eax
        0x89, 0xc3,                   // mov ebx, eax
        0xb8, 1, 0, 0, 0,             // mov eax, 1 (exit)
        0xcd, 0x80,                   // int 0x80
    ];
    let begin = BASE + u32::from(HEADERS);
    let words = begin + u32::try_from(code.len()).unwrap();
    code[11..15].copy_from_slice(&words.to_le_bytes());
    code.extend_from_slice(SAYS);
    let size = u32::from(HEADERS) + u32::try_from(code.len()).unwrap();

    let mut elf = b"\x7fELF\x01\x01\x01".to_vec();
    elf.resize(16, 0);
    let halves = |elf: &mut Vec<u8>, all: &[u16]| {
        all.iter().for_each(|half| elf.extend_from_slice(&half.to_le_bytes()));
    };
    let longs = |elf: &mut Vec<u8>, all: &[u32]| {
        all.iter().for_each(|long| elf.extend_from_slice(&long.to_le_bytes()));
    };
    halves(&mut elf, &[2, 3]); // a program, for 32-bit x86
    longs(&mut elf, &[1, begin, 52, 0, 0]);
    halves(&mut elf, &[52, 32, 1, 0, 0, 0]);
    longs(&mut elf, &[1, 0, BASE, BASE, size, size, 5, 0x1000]); // loaded to be read and run
    elf.extend(code);
    elf
}

#[tokio::test]
async fn a_32_bit_program_runs_and_is_refused_what_others_are() {
    for engine in Engine::ALL {
        let machine = Machine::with(engine);
        let runtime = machine.runtime();
        let blueprint = machine.blueprint("plain");
        let path = machine.path("rootfs/plain/bin/x86");
        fs::write(&path, program()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let outside = match Command::new(&path).output() {
            Ok(outside) => outside,
            // A kernel without them; there is nothing to see.
            Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => return,
            Err(e) => panic!("{e}"),
        };
        assert_eq!(outside.stdout, SAYS);
        assert_ne!(outside.status.code(), Some(libc::EPERM), "outside nobody refuses it");
        let id = blueprint.id.clone();
        runtime.create(blueprint).await.unwrap_or_else(|e| panic!("{e}"));
        let inside = run(&runtime, &id, "exec /bin/x86").await;
        assert_eq!(inside, (libc::EPERM, "32 bits\n".to_owned()), "{engine:?}");
        runtime.delete(&id).await.unwrap();
    }
}
