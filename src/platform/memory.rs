//! What the process takes of memory now.

/// Resident memory, in bytes, that no other process shares; 0 where the system does not say.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm.split_whitespace().skip(1).map_while(|number| number.parse::<u64>().ok());
    // Size, resident, of which file-backed: the program's own text is no memory that it asked for.
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    (resident - shared) * page.map_or(4096, i64::cast_unsigned)
}
