/* aead_edges.h - ciphertexts that drive Poly1305's accumulator to the values where implementations
 * break.
 *
 * In the manner of Wycheproof's "edge case intermediate sums in poly1305" and of RFC 8439, appendix
 * A.3, vectors 5 to 11, but for keys as the AEAD derives them (so r cannot be chosen) and with the
 * nonces that WireGuard can form. Our own, computed with big integers from RFC 8439, sections 2.5
 * and 2.8: the key is the bytes 0 to 31; the ciphertext is before_blocks blocks of ones, the two
 * blocks of middle, after_blocks blocks of ones. middle is a random block and the one block that
 * solves for accumulator: the value modulo 2^130 - 5 after the middle if blocks follow, else after
 * the length block, just before s is added.
 */
#ifndef TESTS_CRYPTO_AEAD_EDGES_H
#define TESTS_CRYPTO_AEAD_EDGES_H

#include <stdint.h>

struct aead_edge {
	const char *accumulator;
	uint64_t counter;
	uint32_t before_blocks, after_blocks;
	const char *middle, *tag;
};

static const struct aead_edge aead_edges[] = {
	{"0", 8, 0, 0, "2de50472433d2e44fed8b6b8357e44cd8aff03cf812ca040d0844d2cb047ce60",
		"4906f5d7dbeb1dc0927b9b2b889d9e2b"},
	{"0", 12, 0, 1, "4a146cf0d98a98e1cf999661f967bdaf60051cd8bad408d76c9656ad4375b5ad",
		"6d309085e25bb618f2686fc7bb2edf0b"},
	{"1", 13, 1, 0, "df0e7337420c13f8f5d40f6ce079d1b91b1a07d9151a20aa9a037f857c7a3db1",
		"3d31159556215bbdbd85781a7f8a89c9"},
	{"1", 21, 2, 3, "305317feed6740b9bd7425dcb03de04b8c07507feaccecc85ebd6e3e17eb2419",
		"29271fd7aebcc92c34a823793beba16d"},
	{"4", 25, 6, 0, "0d387dd45ce301e94a2599abf5fd99305a5ffd341bd759a3fe8b1117685482db",
		"e16d436dcd2be8ec9c6220aa818354e4"},
	{"4", 29, 6, 8, "57afd608bc27f07ae334243ecc2165bef417fa906a814f48bd9895e4e852b675",
		"0d4694a84d3ad2da0fc1ff6937339d8f"},
	{"5", 36, 14, 0, "fc8d5c7d438a96bb86399207685d2578c0d03fc417bec1a14a61b62112987fdd",
		"b7cea2d8ff7779cd325123b606890fee"},
	{"5", 40, 14, 16, "d4b49280c790183afb5f69fb4d322603295231118b8f736cc9ee44bd10fb5b2b",
		"f5303577f9b9a40e08fa28ff715f4579"},
	{"p - 1", 47, 30, 0, "1ba19dc8870461db595d0bd237b363f42f52c76b0def8da65e3882c874f92c7d",
		"1c01f999a70636adcb5e7c335c716ab0"},
	{"p - 1", 48, 30, 2, "37aadce2a7dc3ef0b7a191bd18323383053f79f3f3f8003bf7e55b3f922c6c38",
		"0f0754e5a7823b9cc411ac928e58357d"},
	{"p - 5", 50, 62, 0, "2c26b58f90ae9a345b47146d57cd20f301ab830b716d3f5e5474fdef4a82b2f1",
		"cc1fc7dc9aed0f983fdca6b120227ac8"},
	{"p - 5", 51, 0, 1, "ba185e0e0b7d297b4cfcb8de6c575f5df838abbea5a2ab00e1b0151e35a32b67",
		"99ebd9551184c919ec9eca06afe4098c"},
	{"2^128 - 1", 53, 126, 0,
		"535c3581dd95d469490d247cffcd37d0ff724532e02e3a0021efc1dc9a905b4d",
		"07aa1aa759eac89320996f5f18256d11"},
	{"2^128 - 1", 54, 2, 3, "4396565bafb9176a08909858a8db6700625437133870028ef8429439cb187fb8",
		"5751f4dbdae1d664fba031546d4de675"},
	{"2^128", 58, 0, 0, "9bb75d2dd15cfe8c513a9f950edc472ed48fb8f596ffad0eb2d9fa63cf120e59",
		"735d5217cc2ef22429ab42c7221c077f"},
	{"2^128", 62, 6, 8, "012b51ac263d091212d54e15b55d3ade64b139bb85da665e860f20b84309b76d",
		"7faf5769d99babb246370b423aeb1011"},
	{"2^129 - 1", 64, 1, 0, "84226ec16a81fc47031de33f76b4c5444387199117d332889a8dc81a9b0eb550",
		"ea8c17a5e84d8df0631d5b4a2bea486c"},
	{"2^129 - 1", 66, 14, 16,
		"c9182c58dc12504a88c2cb119a55df2afce1983b4e4860ea97c64053d1b4bc8e",
		"8f7f398d02c50b98b734263c5081afc8"},
	{"2^129 + 2^128", 72, 6, 0,
		"8553c16be0f5d3cb0c58233021de27427d6c8b6dd6be637065d4116587f9772b",
		"7ac41301496c35a287a142a1c69b17bb"},
	{"2^129 + 2^128", 81, 30, 2,
		"06553dccffdaeeb1a7dd3f847a946a73c4c465d51b07caf5bc3b8ac613620807",
		"0dd2ac0e73a0064d2332721a4bbf2d86"},
	{"tag of zeros", 86, 14, 0,
		"f482c8f73f434e363d0323e0030a250cb78c302b83d35553d0a61f0c97949d53",
		"00000000000000000000000000000000"},
	{"tag of ones", 87, 30, 0,
		"945a6f4e00281b12b099c7dbb9f991135b24dff1e44fd09321d5e3340490d035",
		"ffffffffffffffffffffffffffffffff"},
	{"2^64 - 1", 89, 62, 0, "e96f6cbe90478028ef438a6a97f49f90787b406907c57534be896f588fd48691",
		"da31a134be4c280ca10c3e26f21d5ae7"},
	{"2^64 - 1", 90, 6, 8, "788a9a402250612120c32b02832b8b8f20a1b881004de1193626879514614d1e",
		"07b31170cb281cc0b1a95fe224fd9f29"},
	{"2^104 - 1", 92, 126, 0,
		"861fc5d10b00b43708d052f629ae9be609ed8a6fdc3a66cc53dd02736bbb6f1a",
		"56809f69a6c4d40bcd4b724b5647b626"},
	{"2^104 - 1", 93, 14, 16,
		"5ce8fd91d86dfa75468be82bcc1df2d31bb257a95810631fbb437f494b568082",
		"eaf39b1ca4aa95ab08cb5948d5e629b2"},
	{"2^88 - 1", 98, 0, 0, "bfd1d56ecc9966977ec2b131edb20a7ec6a62bbc4429df1d5ec7a5bbc71eae9c",
		"7dffa93c5fa61037061e551df8f29998"},
	{"2^88 - 1", 100, 30, 2, "226bcb4b302e0d8141e3f27f753b67042f9c9862131d0e5738fff2032c1e3166",
		"d380cd720d0679011faba98f3159481e"},
	{"2^44 - 1", 103, 1, 0, "451a6b332d8787db93d0e6533ecfa6cf9ef641e9b5c194a0bf865e90ac1b3539",
		"858b418fa2de5af909b1798277196120"},
	{"2^44 - 1", 105, 0, 1, "ecf8ce563bb3e26deb1e8936c5aa3b44eceddb00ecd216f050a4fc85b739ceb6",
		"cf2195f067c2e6d604174735109f7529"},
	{"2^26 - 1", 107, 6, 0, "85d6a3ee6d40318c9d8a06582a0b19eae4941bbb6264ccb319ca03abf4fc3595",
		"0ab7477c6355fba4e8dda03005d343d9"},
	{"2^26 - 1", 116, 2, 3, "a7390fde58a6a9f14c999e9a45ec8fc7683836429c30518314354a7c937433b9",
		"f28e82031ffe83414a96704ef5ac863b"},
	/* After 16, 32 or 48 blocks a value just above a limb border: Intel's library 1.3 joins
	 * 44-bit limbs by OR there, where the lower may have grown into the upper, in its AVX-512
	 * IFMA code. */
	{"2^88 + 2^45", 1001, 14, 0,
		"d7a56d3cfcf9a44dc716691acdaba1b8cf7ec03a4b787d3d95396ae94090aef6",
		"fd7141600dc25fba89a2b84f43b99470"},
	{"2^129 + 2^87 + 1", 1009, 14, 2,
		"ad1a34d4b32b04a4b0c480ce0304a042a8db1efa5b065a12ba6828c90853aadc",
		"643e3c79844edaeee99e92e285588edb"},
	{"2^46 + 4", 1019, 30, 2,
		"3fb9abe86ab0bc4a75a18692e8c774b4d80c2e3fb9fd9ee7a4d3fb98c36fe1fb",
		"88580cb107c40bc0cc72aacf2ae001dc"},
	{"2^88 + 9", 1020, 46, 2,
		"f98adfe183a5cf4fda6a19d992a8e4c341d1f53e4dc197f9d1e2dd2b94b68ac0",
		"cd27e593d74360f5932e67f79e758d57"},
	{"2^104 + 2^78 + 2^52 + 2", 1024, 14, 2,
		"c50c06d088ce21cc28ad110b915cc114ab7bd692117961b595cd68426df5c6fc",
		"db3ab9c92c67cd00a9bb4a2d125897f1"},
	{"2^104 + 2^79 + 2^27 + 1", 1026, 30, 0,
		"8378ca471fcdd48443f9dc88cb33e3a543b880d7c7bf35f09bbfdcece8072297",
		"6701d8373921f95931036dc79d4b0152"},
	{"2^64 + 3", 1027, 6, 2, "a130a378aac96cb39193c45738d52225ccf40446c03abe717041002b0a60e278",
		"3ae167ce2881eafdc1ce112c473f2e40"},
	{"2^128 + 2^65 + 4", 1029, 2, 3,
		"13e9ac69b838dde9b438e233b69c90a218682e27f77572989ab9bf03f2460184",
		"178d3139f87d3f0f524022b00f5dcc9b"},
};

/* Under the same key, of the first 2^25 counters those whose r is largest, smallest, has the most
 * and the fewest bits set (81 of 106; 26 of 106). */
static const uint64_t aead_edge_r_counters[] = {32581754, 28780623, 15723496, 1468527};

#endif
