//! What we say: the messages to a bus and to systemd.

use super::Scope;
use zbus::{Message, Variant, message::Flags};

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const DBUS: &str = "org.freedesktop.DBus";
const DBUS_PATH: &str = "/org/freedesktop/DBus";

/// The number of a message, which its answer names.
pub(super) fn serial(message: &Message) -> u32 {
    message.primary_header().serial_num().get()
}

/// What a bus wants to hear before: that we are here, which signal we want, and that systemd is to send it.
pub(super) fn greeting(unit: &str) -> zbus::Result<Vec<Message>> {
    let to_bus = |member| Message::method_call(DBUS_PATH, member).destination(DBUS).interface(DBUS);
    let rule = format!(
        "type='signal',sender='{SYSTEMD}',path='{SYSTEMD_PATH}',interface='{MANAGER}',member='JobRemoved',arg2='{unit}'"
    );
    Ok(vec![to_bus("Hello").build(&())?, to_bus("AddMatch").build(&rule)?, to_systemd("Subscribe").build(&())?])
}

/// A call of systemd, which must be there: nothing is to be started for it.
fn to_systemd(member: &'static str) -> zbus::message::Builder<'static> {
    let call = Message::method_call(SYSTEMD_PATH, member).destination(SYSTEMD).interface(MANAGER);
    call.with_flags(Flags::NO_AUTO_START)
}

/// The request (org.freedesktop.systemd1(5); systemd.scope(5), systemd.resource-control(5)).
///
/// `OOMPolicy=continue` need not be said: with `Delegate` it is what follows, in every systemd that knows it for scopes.
pub(super) fn start_transient_unit(scope: &Scope<'_>) -> zbus::Result<Message> {
    let mut properties: Vec<(&str, Variant<'_>)> = vec![
        ("Description", Variant::from(scope.description)),
        ("PIDs", Variant::from(scope.pids.to_vec())),
        ("Delegate", Variant::from(true)),
        // A scope that failed is forgotten like any other.
        ("CollectMode", Variant::from("inactive-or-failed")),
        // Infinity. systemd's own 15 % of the machine would lie under every limit of ours.
        ("TasksMax", Variant::from(u64::MAX)),
        // Who logs out waits no longer than this, in microseconds, for a command that does not listen to SIGTERM.
        ("TimeoutStopUSec", Variant::from(10_000_000_u64)),
    ];
    properties.extend(scope.slice.map(|slice| ("Slice", Variant::from(slice))));
    let auxiliary: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
    to_systemd("StartTransientUnit").build(&(scope.unit, "fail", properties, auxiliary))
}
