//! Compiles the C client's part, where the system has librabbitmq (Debian: librabbitmq-dev).

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(librabbitmq)");
    println!("cargo::rerun-if-changed=src/peers/librabbitmq.c");
    println!("cargo::rerun-if-changed=/usr/include/amqp.h");
    let wanted = env::var_os("CARGO_FEATURE_PEERS").is_some();
    let there = Path::new("/usr/include/amqp.h").exists()
        || Command::new("pkg-config")
            .args(["--exists", "librabbitmq"])
            .status()
            .is_ok_and(|status| status.success());
    if wanted && there {
        cc::Build::new().file("src/peers/librabbitmq.c").opt_level(3).compile("bench_librabbitmq");
        println!("cargo::rustc-link-lib=rabbitmq");
        println!("cargo::rustc-cfg=librabbitmq");
    }
}
