#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints esp-vectors.h: ESP packets for the unit test of esp.c and aead.c.

Published packets are typed in whole and checked here against python3-cryptography
(OpenSSL); where a document has none, or none with integrity, the packet is made
here, so by another implementation than the kernel's.
"""
import hmac
import re
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:
    from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES

GCM, CHACHA = "rfc4106(gcm(aes))", "rfc7539esp(chacha20,poly1305)"
CCM, GMAC = "rfc4309(ccm(aes))", "rfc4543(gcm(aes))"
CBC, DES3 = "cbc(aes)", "cbc(des3_ede)"
CTR, NULL = "rfc3686(ctr(aes))", "ecb(cipher_null)"
ICV = {"md5": 96, "sha1": 96, "sha256": 128, "sha384": 192, "sha512": 256}
IVS = {CBC: 16, NULL: 0}

# Payload and trailer of a tunnel mode packet, 84 octets of ICMP echo in IPv4.
ECHO = "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec1000073627" \
       + bytes(range(8, 56)).hex()

# name, algorithm, key and salt, upper half of the sequence number or None,
# SPI and sequence number, IV, payload and trailer, ciphertext and ICV
PUBLISHED = [
    ("RFC 7634 appendix A", CHACHA,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3",
     None, "01020304 00000005", "1011121314151617",
     ECHO + "01020204",
     """24039428b97f417e3c13753a4f05087b 67c352e6a7fab1b982d466ef407ae5c6
        14ee8099d52844eb61aa95dfab4c02f7 2aa71e7c4c4f64c9befe2facc638e8f3
        cbec163fac469b502773f6fb94e664da 9165b82829f641e0
        76aaa8266b7fb0f7b11b369907e1ad43"""),
    ("draft-mcgrew-gcm-test-01 case 1", GCM, "4c80cdefbb5d10da906ac73c3613a634 2e443b68",
     0x87654321, "00004321 00000000", "4956ed7e3b244cfe",
     """45000048699a000080114db7c0a80102 c0a801010a9bf15638d3010000010000
        00000000045f736970045f7564700373 69700963796265726369747902646b00
        0021000101020201""",
     """fecf537e729d5b07dc30df528dd22b76 8d1b98736696a6fd348509fa13ceac34
        cfa2436f14a3f3cf65925bf1f4a13c5d 15b21e1884f5ff6247aeabb786b93bce
        61bc17d768fd9732459018148f6cbe72 2fd04796562dfdb4"""),
    ("draft-mcgrew-gcm-test-01 case 2", GCM, "feffe9928665731c6d6a8f9467308308 cafebabe",
     None, "0000a5f8 0000000a", "facedbaddecaf888",
     """4500003e698f000080114dccc0a80102 c0a801010a980035002a2343b2d00100
        00010000000000000373697009637962 65726369747902646b00000100010001""",
     """deb22cd9b07c72c16e3a65beeb8df304 a5a5897d33ae530f1ba76d5d114d2a5c
        3de81827c10e9a4f51330d0eec416642 cfbb85a5b47e48a4ec3b9ba95d918bd1
        83b70d3aa8bc6ee4c309e9d85a41ad4a"""),
    ("draft-mcgrew-gcm-test-01 case 3", GCM,
     "abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344",
     None, "4a2cbfe3 00000002", "0102030405060708",
     """4500003069a6400080062690c0a80102 9389155e0a9e008b2dc57ee000000000
        7002400020bf0000020405b401010402 01020201""",
     """ff425c9b724599df7a3bcd510194e00d 6a78107f1b0b1cbf06efae9d65a5d763
        748a637985771d347f0545659f14e99d ef842d8eb335f4eecfdbf831824b4c49
        15956c96"""),
    ("draft-mcgrew-gcm-test-01 case 5", GCM, "3de09874b388e6491988d0c3607eae1f 57690e43",
     0x10101010, "42f67e3f 10101010", "4e280000a2fca1a3",
     """4500003c99c300008001cb7c40679318 010101010800085c0200430061626364
        65666768696a6b6c6d6e6f7071727374 75767761626364656667686901020201""",
     """fba2caa4853cf9f0f22cb10d86dd83b0 fec75691cf1a04b00d1138ec9c357917
        65acbd8701ad79845bf9fe3fba487bc9 1755e6662b4c8d0d1f5e22739530320a
        e0d731cc978ecafaeae88f00e80d6e48"""),
    ("draft-mcgrew-gcm-test-01 case 7", GCM,
     "feffe9928665731c6d6a8f9467308308feffe9928665731c cafebabe",
     None, "0000a5f8 0000000a", "facedbaddecaf888",
     """45000028a4ad4000400678800a01038f 0a010612802306b8cb712602dd6bb03e
        501016d075680001""",
     """a5b1f8066029aea40e598b8122de0242 0938b3ab33f828e687b8858b5bfbdbd0
        315b27452144cc7795457b9652037f53 18027b5b4cd7a636"""),
    ("draft-mcgrew-gcm-test-01 case 12", GCM, "7d773d00c144c525ac619d18c84a3f47 d9664267",
     None, "335467ae ffffffff", "43457e9182443bc6",
     "01020201", "437f866bcb3f699fe9b0822bac961c45 04bef270"),
    ("draft-mcgrew-gcm-test-01 case 14", GCM,
     "6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961 7475726e",
     0xffffffff, "796b6963 ffffffff", "333021696765746d",
     """45000030da3a00008001df3bc0a80005 c0a800010800c6cd0200070061626364
        65666768696a6b6c6d6e6f7071727374 01020201""",
     """f97ab2aa356d8edce17644ac8c78e25d d24dedbb29ebf1b64a274b39b49c3a86
        4cd3d78ca4ae68a32b42458fb57dbe82 1dcc63b9d0937ba2945f669368661a32
        9fb4c053"""),
    ("draft-mcgrew-gcm-test-01, GMAC", GMAC, "4c80cdefbb5d10da906ac73c3613a634 22433c64",
     None, "00004321 00000007", "0000000000000000",
     """45000030da3a00008001df3bc0a80005 c0a800010800c6cd0200070061626364
        65666768696a6b6c6d6e6f7071727374 01020201""",
     """45000030da3a00008001df3bc0a80005 c0a800010800c6cd0200070061626364
        65666768696a6b6c6d6e6f7071727374 01020201
        f2a9a836e155106aa8dcd618e4099aaa"""),
]

# RFC 3602 section 4 has ESP packets without integrity; it is added here.
RFC3602 = [
    ("5", "90d382b410eeba7ad938c46cec1a82bf", "00004321 00000001",
     "e96e8c08ab465763fd098d45dd3ff893",
     """08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f1011121314151617
        18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637
        0102030405060708090a0b0c0d0e0e01""",
     """f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856
        a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874a
        a269add047ad2d5913ac19b7cfbad4a6"""),
    ("6", "90d382b410eeba7ad938c46cec1a82bf", "00004321 00000008",
     "69d08df7d203329db093fc4924e5bd80",
     """0800b5e8a80a0500a69c083d0b660e0077777777777777777777777701020201""",
     """f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75"""),
    ("7", "0123456789abcdef0123456789abcdef", "00008765 00000002",
     "f4e765244f6407adf13dc1380f673f37",
     """45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d
        02a2040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223
        2425262728292a2b2c2d2e2f30313233343536370102030405060708090a0a04""",
     """773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8
        e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5
        c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d"""),
    ("8", "0123456789abcdef0123456789abcdef", "00008765 00000005",
     "85d47224b5f3dd5d2101d4ea8dffab22",
     """45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083d
        a3de0300ffffffffffffffffffffffffffffffffffffffffffffffffffffffff
        ffffffff0102030405060708090a0a04""",
     """15b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb5
        0f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3
        d2726d9b5ef6affc6d17a0decbb13892"""),
]


def unhex(s):
    return bytes.fromhex(re.sub(r"\s", "", s))


def encrypt(enc, key, iv, text):
    if enc == CBC:
        cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    elif enc == DES3:
        cipher = Cipher(TripleDES(key), modes.CBC(iv))
    elif enc == CTR:
        cipher = Cipher(algorithms.AES(key[:-4]), modes.CTR(key[-4:] + iv + b"\0\0\0\1"))
    else:
        return text
    e = cipher.encryptor()
    return e.update(text) + e.finalize()


def seal(enc, key, auth, auth_key, icv, high, header, iv, text):
    """Ciphertext and ICV, as RFC 4303 and the algorithm's RFC say."""
    aad = header if high is None else header[:4] + high.to_bytes(4, "big") + header[4:]
    if enc == GCM:
        return AESGCM(key[:-4]).encrypt(key[-4:] + iv, text, aad)[:len(text) + icv // 8]
    if enc == CHACHA:
        return ChaCha20Poly1305(key[:-4]).encrypt(key[-4:] + iv, text, aad)
    if enc == CCM:
        return AESCCM(key[:-3], icv // 8).encrypt(key[-3:] + iv, text, aad)
    if enc == GMAC:
        return text + AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", aad + iv + text)
    out = encrypt(enc, key, iv, text)
    covered = header + iv + out + (b"" if high is None else high.to_bytes(4, "big"))
    return out + hmac.new(auth_key, covered, auth).digest()[:icv // 8]


def emit(name, enc, key, auth, auth_key, icv, high, header, iv, text, sealed):
    def octets(label, data):
        rows = [data[i:i + 12] for i in range(0, len(data), 12)]
        print(f"\t\t.{label} = {{ {len(data)}, (const u8[]) {{")
        for row in rows:
            print("\t\t\t" + ", ".join(f"0x{octet:02x}" for octet in row) + ",")
        print("\t\t} },")

    pad = text[-2]
    assert text[-2 - pad:-2] == bytes(range(1, pad + 1))
    print(f"\t{{\n\t\t.name = \"{name}\",\n\t\t.enc = \"{enc}\",")
    if auth:
        print(f"\t\t.auth = \"hmac({auth})\",")
    octets("enc_key", key)
    if auth:
        octets("auth_key", auth_key)
    print(f"\t\t.icv_bits = {icv},")
    if high is not None:
        print(f"\t\t.esn = true,\n\t\t.seq_hi = 0x{high:08x},")
    print(f"\t\t.pad = {pad},\n\t\t.next_header = {text[-1]},")
    octets("payload", text[:-2 - pad])
    octets("packet", header + iv + sealed)
    print("\t},")


def made(name, enc, keylen, auth=None, icv=None, high=None):
    """A packet with the payload of RFC 7634's, and keys that count."""
    count = bytes(range(256))
    auth_key = count[64:64 + hmac.new(b"", b"", auth).digest_size] if auth else b""
    icv = icv or ICV[auth]
    key, iv = count[16:16 + keylen], count[160:160 + IVS.get(enc, 8)]
    block = {CBC: 16, DES3: 8}.get(enc, 4)
    payload = unhex(ECHO)
    pad = -(len(payload) + 2) % block
    text = payload + count[1:1 + pad] + bytes((pad, 4))
    header = bytes.fromhex("c0ffee0100000007")
    sealed = seal(enc, key, auth, auth_key, icv, high, header, iv, text)
    emit(name, enc, key, auth, auth_key, icv, high, header, iv, text, sealed)


def main():
    print("/* SPDX-License-Identifier: GPL-2.0 */")
    print("/* Do not edit, made by kmod/selftest/esp-vectors.py. */")
    print("static const struct vector vectors[] = {")
    for name, enc, key, high, header, iv, text, sealed in PUBLISHED:
        key, header, iv, text, sealed = map(unhex, (key, header, iv, text, sealed))
        assert seal(enc, key, None, b"", 128, high, header, iv, text) == sealed, name
        emit(name, enc, key, None, b"", 128, high, header, iv, text, sealed)
    for (case, key, header, iv, text, out), auth in zip(RFC3602, ICV):
        key, header, iv, text, out = map(unhex, (key, header, iv, text, out))
        assert encrypt(CBC, key, iv, text) == out, case
        auth_key = bytes(range(64, 64 + hmac.new(b"", b"", auth).digest_size))
        sealed = seal(CBC, key, auth, auth_key, ICV[auth], None, header, iv, text)
        emit(f"RFC 3602 case {case} and HMAC", CBC, key, auth, auth_key, ICV[auth], None,
             header, iv, text, sealed)

    made("AES-GCM, ICV of 8", GCM, 20, icv=64)
    made("AES-GCM, ICV of 12, ESN", GCM, 36, icv=96, high=1)
    made("ChaCha20-Poly1305, ESN", CHACHA, 36, icv=128, high=7)
    made("AES-CCM, ICV of 8", CCM, 19, icv=64)
    made("AES-CCM, ICV of 12", CCM, 27, icv=96)
    made("AES-CCM, ICV of 16, ESN", CCM, 35, icv=128, high=0x80000000)
    made("AES-GMAC, ESN", GMAC, 36, icv=128, high=2)
    made("AES-CBC and SHA-512, ESN", CBC, 32, "sha512", high=3)
    made("3DES and MD5", DES3, 24, "md5")
    made("3DES and SHA-1, ESN", DES3, 24, "sha1", high=4)
    made("AES-CTR and SHA-256", CTR, 20, "sha256")
    made("AES-CTR and SHA-384, ESN", CTR, 36, "sha384", high=0xfffffffe)
    made("NULL and SHA-1", NULL, 0, "sha1")
    made("NULL and SHA-256, ESN", NULL, 0, "sha256", high=5)
    print("};")


main()
