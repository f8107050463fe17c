"""GnuTLS's certificate verification, in this process: the call of its own clients and servers."""

import ctypes

PEM, MEDIUM_PROFILE = 1, 5 << 24  # GNUTLS_X509_FMT_PEM, GNUTLS_PROFILE_MEDIUM as a flag
HOST_NAME, PURPOSE = 1, 2         # GNUTLS_DT_DNS_HOSTNAME, GNUTLS_DT_KEY_PURPOSE_OID
X509 = 1                          # GNUTLS_CRT_X509

_lib, _process = ctypes.CDLL("libgnutls.so.30"), ctypes.CDLL(None)
_lib.gnutls_strerror.restype = ctypes.c_char_p


class _Datum(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_uint)]

    @classmethod
    def of(cls, data):
        return cls(data, len(data))


class _Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_uint)]


class _Wanted(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("data", ctypes.c_char_p), ("size", ctypes.c_uint)]


def _reason(status):
    """The flags of a verification as a sentence."""
    text = _Text()
    assert _lib.gnutls_certificate_verification_status_print(
        status, X509, ctypes.byref(text), ctypes.c_uint(0)) == 0
    try:
        return ctypes.string_at(text.data).decode().strip()
    finally:
        _process.free(ctypes.c_void_p(text.data))


def _judge(anchors, certificates, count, wanted):
    status = ctypes.c_uint()
    error = _lib.gnutls_x509_trust_list_verify_crt2(
        anchors, certificates, count, wanted, ctypes.c_uint(len(wanted)),
        ctypes.c_uint(MEDIUM_PROFILE), ctypes.byref(status), None)
    if error < 0:
        return _lib.gnutls_strerror(error).decode()
    return _reason(status) if status.value else ""


def _judge_sent(anchors, sent, wanted):
    certificates, count = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_uint()
    error = _lib.gnutls_x509_crt_list_import2(
        ctypes.byref(certificates), ctypes.byref(count), ctypes.byref(_Datum.of(sent)), PEM, 0)
    if error < 0:
        return _lib.gnutls_strerror(error).decode()
    try:
        return _judge(anchors, certificates, count, wanted)
    finally:
        for at in range(count.value):
            _lib.gnutls_x509_crt_deinit(ctypes.c_void_p(certificates[at]))
        _process.free(certificates)


def verify(*, sent, trusted, lists, host, purpose):
    """"" or GnuTLS's reason. sent, trusted and lists (b"" for none) are PEM, purpose is an OID. The
    host may be None."""
    wanted = [(PURPOSE, purpose), *([(HOST_NAME, host)] if host else [])]
    wanted = (_Wanted * len(wanted))(*((kind, text.encode(), 0) for kind, text in wanted))
    anchors = ctypes.c_void_p()
    assert _lib.gnutls_x509_trust_list_init(ctypes.byref(anchors), ctypes.c_uint(0)) == 0
    try:
        error = _lib.gnutls_x509_trust_list_add_trust_mem(
            anchors, ctypes.byref(_Datum.of(trusted)),
            ctypes.byref(_Datum.of(lists)) if lists else None, PEM, ctypes.c_uint(0),
            ctypes.c_uint(0))
        if error < 0:
            return _lib.gnutls_strerror(error).decode()
        return _judge_sent(anchors, sent, wanted)
    finally:
        _lib.gnutls_x509_trust_list_deinit(anchors, ctypes.c_uint(1))
