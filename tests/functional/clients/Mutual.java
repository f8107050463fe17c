/* HTTPS GETs with a client certificate, if one is given.
 * java Mutual.java CA.pem STORE|- [http|socks|direct PORT URL]...: PORT is that of the proxy on
 * 127.0.0.1. Prints a line for each: the status and the body, or "refused" when TLS fails. */
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URL;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Mutual {
    private static KeyManager[] keys(String path) throws Exception {
        if (path.equals("-")) return null;
        char[] password = "changeit".toCharArray();
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(new FileInputStream(path), password);
        KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
        factory.init(store, password);
        return factory.getKeyManagers();
    }

    private static SSLContext context(String ca, String store) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (FileInputStream in = new FileInputStream(ca)) {
            trusted.setCertificateEntry(
                    "ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust =
                TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys(store), trust.getTrustManagers(), null);
        return context;
    }

    private static Proxy proxy(String how, String port) {
        if (how.equals("direct")) return Proxy.NO_PROXY;
        return new Proxy(how.equals("socks") ? Proxy.Type.SOCKS : Proxy.Type.HTTP,
                new InetSocketAddress("127.0.0.1", Integer.parseInt(port)));
    }

    public static void main(String[] args) throws Exception {
        HttpsURLConnection.setDefaultSSLSocketFactory(
                context(args[0], args[1]).getSocketFactory());
        for (int i = 2; i < args.length; i += 3) {
            HttpsURLConnection connection = (HttpsURLConnection) new URL(args[i + 2])
                    .openConnection(proxy(args[i], args[i + 1]));
            connection.setConnectTimeout(20000);
            connection.setReadTimeout(20000);
            try {
                System.out.println(connection.getResponseCode() + " "
                        + new String(connection.getInputStream().readAllBytes()).strip());
            } catch (IOException e) {
                System.out.println("refused");
                System.err.println(e);
            }
        }
    }
}
