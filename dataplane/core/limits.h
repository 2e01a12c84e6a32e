/* limits.h - every constant of the protocol and every bound on memory, in one place.
 * "paper" is https://www.wireguard.com/papers/wireguard.pdf
 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#include <stdint.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* Paper, section 6.1 and 6.2. */
#define REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))
#define REKEY_AFTER_TIME_NS (120 * NS_PER_S)
#define REJECT_AFTER_TIME_NS (180 * NS_PER_S)
#define REKEY_ATTEMPT_TIME_NS (90 * NS_PER_S)
#define REKEY_TIMEOUT_NS (5 * NS_PER_S)
#define KEEPALIVE_TIMEOUT_NS (10 * NS_PER_S)
/* An initiator that receives under a key older than this renews it: 180 - 10 - 5 s. */
#define REKEY_ON_RECEIVE_NS (REJECT_AFTER_TIME_NS - KEEPALIVE_TIMEOUT_NS - REKEY_TIMEOUT_NS)
/* Transmissions of one attempt: 18 periods and, as Linux counts, two more. */
#define HANDSHAKE_TRANSMISSIONS_MAX (REKEY_ATTEMPT_TIME_NS / REKEY_TIMEOUT_NS + 2)
/* Random delay added to retransmissions: below a third of a second. */
#define REKEY_TIMEOUT_JITTER_NS (334 * NS_PER_MS)
/* Keys are wiped when no session was derived for this long. */
#define WIPE_AFTER_NS (3 * REJECT_AFTER_TIME_NS)

/* Linux module, messages.h: at most 50 initiations a second of one peer. */
#define INITIATION_INTERVAL_NS (20 * NS_PER_MS)

/* How often an initiation of an unknown key may cost a second DH, to see whether it is meant: less
 * than one per cent of a core, whoever sends how many. */
#define UNKNOWN_INTERVAL_NS (50 * NS_PER_MS)

/* Paper 5.4.7. A cookie we got is used for 5 s less than its maker honours it. */
#define COOKIE_SECRET_MAX_AGE_NS (120 * NS_PER_S)
#define COOKIE_USE_NS (COOKIE_SECRET_MAX_AGE_NS - 5 * NS_PER_S)
#define UNDER_LOAD_HOLD_NS (1 * NS_PER_S)

/* Our own bounds on memory. */
#define STAGED_PACKETS_PER_PEER 128
#define STAGED_BYTES_TOTAL (16u << 20)
#define PACKETS_PER_BATCH 512
#define HANDSHAKE_QUEUE_MESSAGES 1024
#define DEFAULT_MTU_BYTES 1420

/* Flows the hub remembers, and the ports it speaks from for others: above Linux's own, which end at
 * 60999. */
#define FLOWS_MAX (UINT32_C(1) << 16)
#define FLOWS_PER_PEER_MAX 4096
#define FLOWS_LEAST 16u /* what a policy may ask for */
#define FLOWS_MOST (UINT32_C(1) << 20)
#define NAT_PORT_FIRST 61000
#define NAT_PORT_LAST 65535
#define NAT_PORT_LOWEST 1024

#endif
