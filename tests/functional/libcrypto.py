"""OpenSSL's certificate verification, in this process: as `openssl verify`, without its start."""

import ctypes

PARTIAL_CHAIN, POLICY_CHECK, CRL_CHECK, CRL_CHECK_ALL = 0x80000, 0x80, 0x4, 0x8
SSL_CLIENT, SSL_SERVER = 1, 2  # X509_PURPOSE_...

_lib = ctypes.CDLL("libcrypto.so.3")
for _name in ("d2i_X509", "d2i_X509_CRL", "X509_STORE_new", "OPENSSL_sk_new_null",
              "X509_STORE_CTX_new", "X509_STORE_CTX_get0_param", "OBJ_txt2obj"):
    getattr(_lib, _name).restype = ctypes.c_void_p
_lib.X509_verify_cert_error_string.restype = ctypes.c_char_p


def _pointer(value):
    return ctypes.c_void_p(value)


def _read(parse, der):
    """An X509 or X509_CRL of exactly these bytes, or None."""
    start = ctypes.c_char_p(der)
    at = ctypes.cast(start, ctypes.c_void_p)
    return getattr(_lib, parse)(None, ctypes.byref(at), ctypes.c_long(len(der)))


def _expect(rules, host, is_address):
    """The leaf has to be this server's."""
    if is_address:
        assert _lib.X509_VERIFY_PARAM_set1_ip_asc(rules, host.encode()) == 1
    else:
        assert _lib.X509_VERIFY_PARAM_set1_host(rules, host.encode(), ctypes.c_size_t(0)) == 1


def verify(*, leaf, others, trusted, lists, purpose, host, is_address, level, policy):
    """"" or OpenSSL's reason. All certificates and CRLs are DER. Others that cannot be read are
    left out. The host may be None."""
    sent = [one for one in (_read("d2i_X509", der) for der in others) if one]
    certificates = [_read("d2i_X509", der) for der in (leaf, *trusted)]
    crls = [_read("d2i_X509_CRL", der) for der in lists]
    store, stack = _pointer(_lib.X509_STORE_new()), _pointer(_lib.OPENSSL_sk_new_null())
    context = _pointer(_lib.X509_STORE_CTX_new())
    try:
        if None in certificates or None in crls:
            return "cannot be read"
        for one in certificates[1:]:
            _lib.X509_STORE_add_cert(store, _pointer(one))
        for one in crls:
            _lib.X509_STORE_add_crl(store, _pointer(one))
        for one in sent:
            _lib.OPENSSL_sk_push(stack, _pointer(one))
        assert _lib.X509_STORE_CTX_init(context, store, _pointer(certificates[0]), stack) == 1
        rules = _pointer(_lib.X509_STORE_CTX_get0_param(context))
        flags = PARTIAL_CHAIN | POLICY_CHECK | (CRL_CHECK | CRL_CHECK_ALL if lists else 0)
        _lib.X509_VERIFY_PARAM_set_flags(rules, ctypes.c_ulong(flags))
        _lib.X509_VERIFY_PARAM_set_purpose(rules, purpose)
        _lib.X509_VERIFY_PARAM_set_auth_level(rules, level)
        _lib.X509_VERIFY_PARAM_add0_policy(rules, _pointer(_lib.OBJ_txt2obj(policy.encode(), 1)))
        if host:
            _expect(rules, host, is_address)
        if _lib.X509_verify_cert(context) == 1:
            return ""
        return _lib.X509_verify_cert_error_string(
            ctypes.c_long(_lib.X509_STORE_CTX_get_error(context))).decode()
    finally:
        _lib.X509_STORE_CTX_free(context)
        _lib.OPENSSL_sk_free(stack)
        _lib.X509_STORE_free(store)
        for one in certificates + sent:
            _lib.X509_free(_pointer(one))
        for one in crls:
            _lib.X509_CRL_free(_pointer(one))
