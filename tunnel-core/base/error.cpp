#include "tunnel-core/base/error.hpp"

namespace culvert {

std::string_view errc_name(Errc code) {
  switch (code) {
    case Errc::SessionClosed:
      return "session_closed";
    case Errc::FrameMalformed:
      return "frame_malformed";
    case Errc::FrameUnknown:
      return "frame_unknown";
    case Errc::FlowControlViolation:
      return "flow_control_violation";
    case Errc::CounterContradiction:
      return "counter_contradiction";
    case Errc::StreamIdInvalid:
      return "stream_id_invalid";
    case Errc::FinalOffsetChanged:
      return "final_offset_changed";
    case Errc::ReceiptInvalid:
      return "receipt_invalid";
    case Errc::TooManyGaps:
      return "too_many_gaps";
    case Errc::ResumeDeadlinePassed:
      return "resume_deadline_passed";
    case Errc::SupersededInstance:
      return "superseded_instance";
    case Errc::AccessRevoked:
      return "access_revoked";
    case Errc::EpochInvalid:
      return "epoch_invalid";
    case Errc::ShuttingDown:
      return "shutting_down";
    case Errc::InternalError:
      return "internal_error";
    case Errc::UnknownSession:
      return "unknown_session";
    case Errc::StreamIdsExhausted:
      return "stream_ids_exhausted";
    case Errc::StreamCancelled:
      return "stream_cancelled";
    case Errc::TargetUnknown:
      return "target_unknown";
    case Errc::TargetRefused:
      return "target_refused";
    case Errc::TargetUnreachable:
      return "target_unreachable";
    case Errc::TargetTimedOut:
      return "target_timed_out";
    case Errc::TargetAddressForbidden:
      return "target_address_forbidden";
    case Errc::TargetNameUnresolved:
      return "target_name_unresolved";
    case Errc::StreamLimitReached:
      return "stream_limit_reached";
    case Errc::MemoryLimitReached:
      return "memory_limit_reached";
    case Errc::Draining:
      return "draining";
    case Errc::OpenTimedOut:
      return "open_timed_out";
    case Errc::SocketFailed:
      return "socket_failed";
    case Errc::DialLimitReached:
      return "dial_limit_reached";
    case Errc::UsageInvalid:
      return "usage_invalid";
    case Errc::ConfigInvalid:
      return "config_invalid";
    case Errc::FileUnreadable:
      return "file_unreadable";
    case Errc::FileUnsafe:
      return "file_unsafe";
    case Errc::InUse:
      return "in_use";
    case Errc::NotFound:
      return "not_found";
    case Errc::AlreadyExists:
      return "already_exists";
    case Errc::PortInUse:
      return "port_in_use";
    case Errc::DiskFull:
      return "disk_full";
    case Errc::IoFailed:
      return "io_failed";
    case Errc::NameUnresolved:
      return "name_unresolved";
    case Errc::ConnectionRefused:
      return "connection_refused";
    case Errc::Unreachable:
      return "unreachable";
    case Errc::TimedOut:
      return "timed_out";
    case Errc::TlsFailed:
      return "tls_failed";
    case Errc::TlsUntrusted:
      return "tls_untrusted";
    case Errc::TlsThumbprintMismatch:
      return "tls_thumbprint_mismatch";
    case Errc::TlsWrongName:
      return "tls_wrong_name";
    case Errc::TlsExpired:
      return "tls_expired";
    case Errc::TlsNotYetValid:
      return "tls_not_yet_valid";
    case Errc::Unauthorized:
      return "unauthorized";
    case Errc::Forbidden:
      return "forbidden";
    case Errc::Conflict:
      return "conflict";
    case Errc::ServerFailed:
      return "server_failed";
    case Errc::ReplyInvalid:
      return "reply_invalid";
    case Errc::JoiningStringInvalid:
      return "joining_string_invalid";
    case Errc::JoiningStringExpired:
      return "joining_string_expired";
    case Errc::CertificateInvalid:
      return "certificate_invalid";
    case Errc::KeyInvalid:
      return "key_invalid";
    case Errc::StoreFailed:
      return "store_failed";
    case Errc::DaemonUnreachable:
      return "daemon_unreachable";
    case Errc::Cancelled:
      return "cancelled";
    case Errc::LaneLimitReached:
      return "lane_limit_reached";
    case Errc::ProxyUnauthorized:
      return "proxy_unauthorized";
    case Errc::ProxyRefused:
      return "proxy_refused";
  }
  return "unknown_error";
}

Errc errc_from_name(std::string_view name) {
  for (std::uint16_t number = 1; number <= static_cast<std::uint16_t>(Errc::ProxyRefused); ++number) {
    const Errc code{number};
    if (errc_name(code) == name) return code;
  }
  return Errc::ServerFailed;
}

Error& Error::at(std::string_view doing, std::string_view what) & {
  trail_ += trail_.empty() ? "" : ", ";
  trail_ += doing;
  if (!what.empty()) {
    trail_ += ' ';
    trail_ += what;
  }
  return *this;
}

Error&& Error::at(std::string_view doing, std::string_view what) && {
  return std::move(at(doing, what));
}

std::string Error::text() const {
  return trail_.empty() ? message_ : message_ + " (" + trail_ + ")";
}

std::string Error::to_string() const {
  return std::string{errc_name(code_)} + ": " + text();
}

}  // namespace culvert
