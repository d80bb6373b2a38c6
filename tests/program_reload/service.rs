//! What is reported to a service manager of a reload of the program: it begins with the template.

use super::code::{Language, Preloaded};
use super::peer::program::Transport;
use super::service_manager::ServiceManager;

#[test]
fn a_reload_is_reported_from_the_start_of_the_template_to_its_end() {
    let mut service = ServiceManager::new();
    let notify = service.address();
    let environment = [("NOTIFY_SOCKET", notify.as_str())];
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &environment);
    service.message("READY=1");

    preloaded.reload("second");
    service.message("RELOADING=1");
    service.message("READY=1");

    // One that fails before any worker is forked.
    preloaded.failed_reload("broken");
    service.message("RELOADING=1");
    service.message("READY=1");
    let failed = "exited with status 25";
    let has_reason = |service: &mut ServiceManager| {
        service
            .arrived()
            .iter()
            .any(|text| text.starts_with("STATUS=") && text.contains(failed))
    };
    if !has_reason(&mut service) {
        let status = service.message("STATUS=");
        assert!(status.contains(failed), "{status}");
    }
    preloaded.assert_serves("second");
    preloaded.stop();
    assert_eq!(service.count("READY=1"), 3, "{:#?}", service.seen);
}
