import { renderDockerArchive } from './docker-archive.ts';

/** Raised whenever the bytes of the image change, so that an upgraded agent imports its own. */
export const PAUSE_IMAGE = 'coracle.dev/pause:1';

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const CODE_OFFSET = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;
const LOAD_ADDRESS = 0x400000;
const SIGCHLD = 17;

/** A `struct sigaction` whose handler is SIG_IGN (1) and everything else zero; its layout is the same on both architectures. */
const IGNORE_ACTION = [1, ...new Array<number>(31).fill(0)];

/**
 * Both programs do: rt_sigaction(SIGCHLD, SIG_IGN), so that the kernel reaps the orphans of a shared PID namespace by itself; then sleep
 * for ever. As PID 1 they need no handler for SIGTERM: the runtime ends a sandbox with SIGKILL.
 */
const X86_64_CODE = [
  ...[0xb8, 13, 0, 0, 0], // mov eax, rt_sigaction
  ...[0xbf, SIGCHLD, 0, 0, 0], // mov edi, SIGCHLD
  ...[0x48, 0x8d, 0x35, 21, 0, 0, 0], // lea rsi, [rip + 21]: the action behind the code
  ...[0x31, 0xd2], // xor edx, edx
  ...[0x41, 0xba, 8, 0, 0, 0], // mov r10d, 8: size of the signal mask
  ...[0x0f, 0x05], // syscall
  ...[0xb8, 34, 0, 0, 0], // mov eax, pause
  ...[0x0f, 0x05], // syscall
  ...[0xeb, 0xf7], // jmp to the pause
  ...[0x90, 0x90], // padding
  ...IGNORE_ACTION,
];

const ARM64_WORDS = [
  0xd28010c8, // mov x8, rt_sigaction (134)
  0xd2800220, // mov x0, SIGCHLD
  0x10000181, // adr x1, 48 bytes on: the action behind the code
  0xd2800002, // mov x2, 0
  0xd2800103, // mov x3, 8
  0xd4000001, // svc
  0xd2800000, // mov x0, 0: the loop
  0xd2800001, // mov x1, 0
  0xd2800002, // mov x2, 0
  0xd2800003, // mov x3, 0
  0xd2800928, // mov x8, ppoll (73): arm64 has no pause
  0xd4000001, // svc
  0x17fffffa, // b -6 words
  0xd503201f, // nop
];

function arm64Code(): number[] {
  const bytes = Buffer.alloc(ARM64_WORDS.length * 4);
  for (const [index, word] of ARM64_WORDS.entries()) bytes.writeUInt32LE(word, index * 4);
  return [...bytes, ...IGNORE_ACTION];
}

const MACHINES: Readonly<Record<string, { readonly elfMachine: number; readonly code: () => readonly number[] }>> = {
  amd64: { elfMachine: 62, code: () => X86_64_CODE },
  arm64: { elfMachine: 183, code: arm64Code },
};

/** A static ELF executable of about 200 bytes: the host has no compiler and may have no registry to take a pause image from. */
export function renderPauseProgram(architecture: string): Uint8Array {
  const machine = MACHINES[architecture];
  if (machine === undefined) throw new Error(`no pause program for architecture ${architecture}`);
  const code = Buffer.from(machine.code());
  const header = Buffer.alloc(CODE_OFFSET);
  header.write('\x7fELF', 0, 'latin1');
  header.set([2, 1, 1], 4); // 64 bit, little endian, ELF version 1
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(machine.elfMachine, 18);
  header.writeUInt32LE(1, 20); // ELF version
  header.writeBigUInt64LE(BigInt(LOAD_ADDRESS + CODE_OFFSET), 24); // entry point
  header.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32); // program headers start here
  header.writeUInt16LE(ELF_HEADER_BYTES, 52);
  header.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  header.writeUInt16LE(1, 56); // one program header
  const program = header.subarray(ELF_HEADER_BYTES);
  const sizeBytes = BigInt(CODE_OFFSET + code.length);
  program.writeUInt32LE(1, 0); // PT_LOAD
  program.writeUInt32LE(5, 4); // readable, executable
  program.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 16);
  program.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 24);
  program.writeBigUInt64LE(sizeBytes, 32);
  program.writeBigUInt64LE(sizeBytes, 40);
  program.writeBigUInt64LE(0x10000n, 48); // alignment: the largest page size of arm64
  return Buffer.concat([header, code]);
}

/** The sandbox image as a docker archive. */
export function renderPauseArchive(architecture: string): Uint8Array {
  return renderDockerArchive({
    name: PAUSE_IMAGE,
    architecture,
    entries: [{ path: 'pause', mode: 0o755, content: renderPauseProgram(architecture) }],
    entrypoint: ['/pause'],
    user: '65535:65535',
  });
}
