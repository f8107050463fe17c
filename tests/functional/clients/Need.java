/* A TLS server in Java that asks for a client certificate and answers a request with what it got.
 * java Need.java PORT STORE CA.pem need|want */
import java.io.FileInputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Base64;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Need {
    private static SSLContext context(String path, String ca) throws Exception {
        char[] password = "changeit".toCharArray();
        KeyStore store = KeyStore.getInstance("PKCS12"), trusted = KeyStore.getInstance("PKCS12");
        store.load(new FileInputStream(path), password);
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, password);
        trusted.load(null, null);
        trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509")
                .generateCertificate(new FileInputStream(ca)));
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    private static String shown(SSLSession session) throws Exception {
        try {
            Certificate certificate = session.getPeerCertificates()[0];
            return "-----BEGIN CERTIFICATE-----\n"
                    + Base64.getEncoder().encodeToString(certificate.getEncoded())
                    + "\n-----END CERTIFICATE-----\n";
        } catch (SSLPeerUnverifiedException none) {
            return "none";
        }
    }

    private static void answer(SSLSocket socket) {
        try (socket) {
            socket.startHandshake();
            socket.getInputStream().read(new byte[4096]);
            byte[] body = shown(socket.getSession()).getBytes("US-ASCII");
            OutputStream out = socket.getOutputStream();
            out.write(("HTTP/1.1 200 OK\r\nContent-Length: " + body.length + "\r\n\r\n")
                    .getBytes("US-ASCII"));
            out.write(body);
            out.flush();
        } catch (Exception failed) {
            System.err.println(failed);
        }
    }

    public static void main(String[] args) throws Exception {
        SSLServerSocket server = (SSLServerSocket) context(args[1], args[2])
                .getServerSocketFactory().createServerSocket(
                        Integer.parseInt(args[0]), 64, InetAddress.getByName("127.0.0.1"));
        if (args[3].equals("need")) server.setNeedClientAuth(true);
        else server.setWantClientAuth(true);
        while (true) answer((SSLSocket) server.accept());
    }
}
