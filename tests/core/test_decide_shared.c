/* The hub's address has several users, of whom the receiver knows one: identifications of fragments
 * from all of them, and connections that are older than the hub. In both families. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/lib/talk.h"

static void test_decide_fragments_of_the_host_and_of_clients_have_different_ids(void **state)
{
	static const unsigned SENDERS[] = {CLIENT, HUB, CLIENT2, HUB};
	const size_t n_senders = sizeof SENDERS / sizeof SENDERS[0];

	(void)state;
	BOTH_FAMILIES
	{
		const uint32_t id_bytes = family == WGH_IPV4 ? 2 : 4;
		uint8_t ids[4][4] = {{0}};

		for (size_t s = 0; s < n_senders; s++) {
			struct transport t = udp(SENDERS[s], (uint16_t)(61001 + s), DEVICE, 53);
			uint8_t packet[TRANSPORT_BYTES_MAX], piece[TRANSPORT_BYTES_MAX];
			uint32_t whole, len;

			t.payload_bytes = 1200;
			whole = transport_build(packet, &t);
			for (uint32_t i = 0;
				(len = transport_fragment(piece, packet, whole, 77, 400, i)); i++) {
				struct heard h;

				say_bytes(SENDERS[s], piece, len);
				assert_true(heard_by(DEVICE, &h));
				assert_int_equal(h.src, HUB);
				if (!i)
					memcpy(ids[s], h.packet + (id_bytes == 2 ? 4 : 44),
						id_bytes);
				assert_memory_equal(
					ids[s], h.packet + (id_bytes == 2 ? 4 : 44), id_bytes);
			}
			for (size_t other = 0; other < s; other++)
				assert_memory_not_equal(ids[s], ids[other], id_bytes);
		}
	}
	must_count(DROP_NONE);
}

/* Without a TUN a client keeps any port above 1023, so after a restart a device may speak to any.
 */
static void test_decide_without_a_host_every_lost_connection_is_reset(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		static const uint16_t PORTS[] = {1024, 40000, 61000, 65535};

		for (size_t i = 0; i < sizeof PORTS / sizeof PORTS[0]; i++) {
			fixture_advance(&f, 10 * NS_PER_S); /* answers are limited */
			say(DEVICE, tcp(DEVICE, 22, HUB, PORTS[i], ACK));
			must_be_reset(DEVICE, HUB, PORTS[i]);
			must_count(DROP_NO_FLOW);
		}
	}
}

/* With one, its own connections are below the range, and it goes on with them. */
static void test_decide_connections_of_a_host_are_never_reset(void **state)
{
	(void)state;
	BOTH_FAMILIES
	{
		fixture_advance(&f, 10 * NS_PER_S);
		say(DEVICE, tcp(DEVICE, 22, HUB, 40000, ACK));
		must_be_silent();
		must_count(DROP_NO_FLOW);
		say(HUB, tcp(HUB, 40000, DEVICE, 22, ACK));
		must_hear(DEVICE, HUB, 40000, DEVICE, 22);
		say(DEVICE, tcp(DEVICE, 22, HUB, 40000, ACK));
		must_hear(HUB, DEVICE, 22, HUB, 40000);
		say(DEVICE, tcp(DEVICE, 22, HUB, 61000, ACK));
		must_be_reset(DEVICE, HUB, 61000);
		must_count(DROP_NO_FLOW);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_decide_fragments_of_the_host_and_of_clients_have_different_ids,
			talk_setup_nat_tun, talk_teardown),
		cmocka_unit_test_setup_teardown(
			test_decide_without_a_host_every_lost_connection_is_reset, talk_setup_nat,
			talk_teardown),
		cmocka_unit_test_setup_teardown(test_decide_connections_of_a_host_are_never_reset,
			talk_setup_nat_tun, talk_teardown),
	};

	return cmocka_run_group_tests_name("decide_shared", tests, NULL, NULL);
}
