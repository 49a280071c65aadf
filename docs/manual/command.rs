//! The manual page silvacast(8): commands, options, signals, environment, files and exit codes.

use clap::builder::StyledStr;
use clap::{Arg, Command};

use super::page::Page;

pub(crate) fn page(cli: &Command) -> String {
    let mut page = Page::new("silvacast", "8", &text(cli.get_about()));
    page.heading("SYNOPSIS");
    page.paragraph(&synopsis(cli));
    let commands: Vec<&Command> =
        cli.get_subcommands().filter(|command| command.get_name() != "help").collect();
    for command in &commands {
        page.paragraph(&synopsis(command));
    }
    page.heading("DESCRIPTION")
        .paragraph(
            "A small server that relays live audio from field recorders to listeners. A recorder \
             pushes Ogg/Opus to a mount, as to Icecast, and browsers and players hear it a moment \
             later. A slow listener never delays a source. Each mount has one continuous stream, \
             which continues when its source reconnects or is replaced. Without a source, \
             listeners hear silence, and after the hold time the stream ends.",
        )
        .paragraph(
            "Without a configuration it serves on loopback only, with passwords made for that \
             run, and prints an FFmpeg command line to paste.",
        );
    page.heading("COMMANDS")
        .paragraph("Each command takes `--help`. `silvacast --version` prints the version.");
    for command in &commands {
        page.subheading(command.get_name());
        page.paragraph(&format!("{}.", text(command.get_about())));
        for argument in arguments(command) {
            page.item(&name(argument), &format!("{}.", text(argument.get_help())));
        }
    }
    page.heading("SIGNALS")
        .item(
            "`SIGHUP`",
            "Reloads the configuration. If it has errors, they are logged and nothing changes.",
        )
        .item(
            "`SIGTERM`, `SIGINT`",
            "Stops the server: it accepts no new connections, ends every stream, and sends \
             listeners the rest of it.",
        );
    page.heading("ENVIRONMENT")
        .item(
            "`SILVASONIC_ICECAST_PORT`",
            "Replaces the port of the configuration's `listen`. `silvacast health` asks this port.",
        )
        .item(
            "`CREDENTIALS_DIRECTORY`",
            "The directory with the files `source-password` and `admin-password`, which are read \
             if the configuration has no passwords. Set by systemd.",
        )
        .item(
            "`LISTEN_FDS`, `LISTEN_FDNAMES`",
            "Sockets that the service manager opened, and their names. They replace `listen`.",
        )
        .item(
            "`NOTIFY_SOCKET`",
            "The socket on which the service manager receives the state of the server: ready, \
             reloading or stopping.",
        )
        .item(
            "`WATCHDOG_USEC`",
            "The watchdog timeout, in microseconds. The server pings the service manager more \
             often.",
        )
        .item(
            "`JOURNAL_STREAM`",
            "Identifies the journal's stream. If standard error is this stream, log lines begin with \
             their priority, and those of the format `text` have no time, because the journal adds \
             both.",
        );
    page.heading("FILES")
        .item(
            "`/etc/silvacast/silvacast.toml`",
            "The configuration of the service; see `silvacast.toml`(5).",
        )
        .item(
            "`/etc/silvacast/source-password`, `/etc/silvacast/admin-password`",
            "The passwords of the service. Only root can read them; systemd passes them to the \
             service as credentials.",
        );
    page.heading("EXIT STATUS")
        .item("`0`", "Success.")
        .item("`1`", "Something failed.")
        .item("`2`", "The arguments or the configuration are wrong.");
    page.heading("EXAMPLES").verbatim(&examples(cli));
    page.heading("SEE ALSO")
        .paragraph("`silvacast.toml`(5), `ffmpeg`(1), `systemd.exec`(5), `systemd.socket`(5)");
    page.finish()
}

/// A text of the command line's definition. clap has removed its full stop.
fn text(styled: Option<&StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| argument.get_id() != "help")
}

/// A command with its arguments, in one line.
fn synopsis(command: &Command) -> String {
    let mut line = format!("`{}`", command.get_bin_name().unwrap_or_else(|| command.get_name()));
    for argument in arguments(command) {
        let name = name(argument);
        let name = if argument.is_required_set() { name } else { format!("[{name}]") };
        line.extend([" ", &name]);
    }
    line
}

/// An argument as a user types it: `--config FILE`, `FILE`, `--loop`.
fn name(argument: &Arg) -> String {
    let values = argument.get_value_names().filter(|_| argument.get_action().takes_values());
    let value = values.unwrap_or_default().join(" ");
    match argument.get_long() {
        Some(long) => format!("`--{long}` {value}").trim_end().to_owned(),
        None => value,
    }
}

/// The examples at the end of `--help`.
fn examples(cli: &Command) -> String {
    let help = text(cli.get_after_help());
    help.lines().filter_map(|line| line.strip_prefix("  ")).collect::<Vec<_>>().join("\n")
}
