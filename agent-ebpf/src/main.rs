//! plainspan's kernel programs: few and generic. What a probe point means and where its arguments are is a
//! row of a table that the agent fills; the programs follow it, copy plaintext into the ring buffer, number
//! its bytes, and count what they could not deliver.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod call;
mod emit;
mod maps;
mod point;
mod process;
mod scope;
mod socket;
mod tls_record;

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Never reached: the verifier proves that no path ends here.
    loop {}
}
