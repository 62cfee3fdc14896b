//! The ABI between plainspan's kernel programs and its agent.
#![no_std]
