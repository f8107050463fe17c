/* One HTTPS GET through an HTTP proxy, as Java programs do it.
 * java Get.java PROXY_PORT URL TRUSTSTORE: prints the body; exit 3 when the TLS handshake fails. */
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URL;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLHandshakeException;

public class Get {
    public static void main(String[] args) throws Exception {
        System.setProperty("javax.net.ssl.trustStore", args[2]);
        System.setProperty("javax.net.ssl.trustStorePassword", "changeit");
        Proxy proxy = new Proxy(Proxy.Type.HTTP,
                new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        HttpsURLConnection connection =
                (HttpsURLConnection) new URL(args[1]).openConnection(proxy);
        connection.setConnectTimeout(20000);
        connection.setReadTimeout(20000);
        try {
            connection.getInputStream().transferTo(System.out);
            System.out.flush();
            System.err.println(connection.getCipherSuite());
        } catch (SSLHandshakeException e) {
            System.err.println(e);
            System.exit(3);
        }
    }
}
