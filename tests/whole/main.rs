//! The whole server, tried from outside: the real binary, real encoders, real players.
//!
//! Nothing here waits for a time to pass: a test waits for what it needs to see, and only a
//! failure takes long.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod admin;
mod allocations;
mod api;
mod browser;
mod cli;
mod client;
mod code;
mod config;
mod cross;
mod daemon;
mod deploy;
mod door;
mod gap;
mod icecast;
mod icecast_xml;
mod joint;
mod manual;
mod memory;
mod monitoring;
mod needs;
mod notify;
mod ogg;
mod package;
mod pen;
mod players;
mod podman;
mod power;
mod proxy;
mod quadlet;
mod readers;
mod recorder;
mod relay;
mod reload;
mod service;
mod shutdown;
mod splice;
mod status;
mod storm;
mod through;
mod units;
mod valve;
