// The SCTP state machine of IPVS, as tables.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/protocol_state.h"

namespace sluice {
namespace {

// Columns are present states, in the order of SctpState; a cell is the next state.
constexpr uint8_t NO = kSctpNone, I1 = kSctpInit1, IN = kSctpInit, CS = kSctpCookieSent,
                  CR = kSctpCookieReplied, CW = kSctpCookieWait, CO = kSctpCookie, CE = kSctpCookieEchoed,
                  ES = kSctpEstablished, SS = kSctpShutdownSent, SR = kSctpShutdownReceived,
                  SA = kSctpShutdownAckSent, RJ = kSctpRejected, CL = kSctpClosed;
static_assert(NO == 0 && CL == kSctpStates - 1);
constexpr uint8_t kTransitions[3][kSctpEvents][kSctpStates] = {
    {
        // from the client
        //                    NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        /*data             */ {ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*init             */ {I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN},
        /*init_ack         */ {CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*cookie_echo      */ {CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*cookie_ack       */ {ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL},
        /*shutdown         */ {SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL},
        /*shutdown_ack     */ {CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL},
        /*shutdown_complete*/ {CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL},
        /*error            */ {CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL},
        /*abort            */ {CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL},
    },
    {
        // from the real server
        //                    NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        /*data             */ {ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*init             */ {CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW},
        /*init_ack         */ {CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*cookie_echo      */ {CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL},
        /*cookie_ack       */ {ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL},
        /*shutdown         */ {SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL},
        /*shutdown_ack     */ {SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL},
        /*shutdown_complete*/ {CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*error            */ {CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*abort            */ {CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL},
    },
    {
        // from the client, when replies do not come by here
        //                    NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        /*data             */ {ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*init             */ {I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN},
        /*init_ack         */ {CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*cookie_echo      */ {ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*cookie_ack       */ {ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL},
        /*shutdown         */ {SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL},
        /*shutdown_ack     */ {CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL},
        /*shutdown_complete*/ {CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL},
        /*error            */ {CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL},
        /*abort            */ {CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL},
    },
};

}  // namespace

uint8_t NextSctpState(Seen seen, SctpEvent event, uint8_t state) {
  return kTransitions[static_cast<int>(seen)][event][state];
}

SctpEvent SctpEventOf(uint8_t chunk_type, uint8_t next_chunk_type) {
  switch (chunk_type) {
    case kSctpChunkInit: return kSctpEventInit;
    case kSctpChunkInitAck: return kSctpEventInitAck;
    case kSctpChunkAbort: return kSctpEventAbort;
    case kSctpChunkShutdown: return kSctpEventShutdown;
    case kSctpChunkShutdownAck: return kSctpEventShutdownAck;
    case kSctpChunkError: return kSctpEventError;
    case kSctpChunkShutdownComplete: return kSctpEventShutdownComplete;
    // An ABORT may stand behind a cookie.
    case kSctpChunkCookieEcho:
      return next_chunk_type == kSctpChunkAbort ? kSctpEventAbort : kSctpEventCookieEcho;
    case kSctpChunkCookieAck:
      return next_chunk_type == kSctpChunkAbort ? kSctpEventAbort : kSctpEventCookieAck;
    default: return kSctpEventData;
  }
}

}  // namespace sluice
