// One error type for everything: a number, a sentence for a person, and the trail of where it passed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace culvert {

/// 1–63 end a session and 64–127 reset a stream, both on the wire (docs/protocol.md §12); from 1000 on an
/// error never leaves its process.
enum class Errc : std::uint16_t {
  // End of a session.
  SessionClosed = 1,
  FrameMalformed = 2,
  FrameUnknown = 3,
  FlowControlViolation = 4,
  CounterContradiction = 5,
  StreamIdInvalid = 6,
  FinalOffsetChanged = 7,
  ReceiptInvalid = 8,
  TooManyGaps = 9,
  ResumeDeadlinePassed = 10,
  SupersededInstance = 11,
  AccessRevoked = 12,
  EpochInvalid = 13,
  ShuttingDown = 14,
  InternalError = 15,
  UnknownSession = 16,
  StreamIdsExhausted = 17,
  // Reset of a stream.
  StreamCancelled = 64,
  TargetUnknown = 65,
  TargetRefused = 67,
  TargetUnreachable = 68,
  TargetTimedOut = 69,
  TargetAddressForbidden = 70,
  TargetNameUnresolved = 71,
  StreamLimitReached = 72,
  MemoryLimitReached = 73,
  Draining = 74,
  OpenTimedOut = 75,
  SocketFailed = 76,
  DialLimitReached = 78,
  // Inside one process.
  UsageInvalid = 1000,
  ConfigInvalid,
  FileUnreadable,
  FileUnsafe,
  InUse,
  NotFound,
  AlreadyExists,
  PortInUse,
  DiskFull,
  IoFailed,
  NameUnresolved,
  ConnectionRefused,
  Unreachable,
  TimedOut,
  TlsFailed,
  TlsUntrusted,
  TlsThumbprintMismatch,
  TlsWrongName,
  TlsExpired,
  TlsNotYetValid,
  Unauthorized,
  Forbidden,
  Conflict,
  ServerFailed,
  ReplyInvalid,
  JoiningStringInvalid,
  JoiningStringExpired,
  CertificateInvalid,
  KeyInvalid,
  StoreFailed,
  DaemonUnreachable,
  Cancelled,
  LaneLimitReached,
  ProxyUnauthorized,
  ProxyRefused,
};

/// `FlowControlViolation` -> `flow_control_violation`; a number nobody knows -> `unknown_error`.
std::string_view errc_name(Errc code);
/// The way back, for errors that crossed a wire; a name nobody knows -> ServerFailed.
Errc errc_from_name(std::string_view name);

class [[nodiscard]] Error {
 public:
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}

  Errc code() const { return code_; }
  const std::string& message() const { return message_; }

  /// Adds where this level stood: `.at("parse", path)`. Returns itself, to be passed upwards.
  Error& at(std::string_view doing, std::string_view what = {}) &;
  Error&& at(std::string_view doing, std::string_view what = {}) &&;

  /// Message and trail, for people: the same without the leading name.
  std::string text() const;
  /// `config_invalid: stream_window is 4 KiB, must be 64 KiB or more (parse /etc/culvert/agent.toml)`
  std::string to_string() const;

 private:
  Errc code_;
  std::string message_;
  std::string trail_;
};

}  // namespace culvert
