/* Two HTTPS GETs without a proxy, as old and new Java programs do them.
 * java Direct.java URL CA.pem: prints "URLConnection " and "HttpClient ", each with its status
 * and, in a line, the body; exit 3 when a TLS handshake fails. */
import java.io.FileInputStream;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.TrustManagerFactory;

public class Direct {
    private static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(file)) {
            store.setCertificateEntry(
                    "ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust =
                TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    public static void main(String[] args) throws Exception {
        SSLContext context = trusting(args[1]);
        try {
            HttpsURLConnection old = (HttpsURLConnection) new URL(args[0]).openConnection();
            old.setSSLSocketFactory(context.getSocketFactory());
            old.setConnectTimeout(20000);
            old.setReadTimeout(20000);
            System.out.println("URLConnection " + old.getResponseCode() + " "
                    + new String(old.getInputStream().readAllBytes(), "UTF-8").strip());
            HttpResponse<String> answer =
                    HttpClient.newBuilder().sslContext(context).build()
                            .send(HttpRequest.newBuilder(URI.create(args[0]))
                                            .timeout(Duration.ofSeconds(20)).build(),
                                    HttpResponse.BodyHandlers.ofString());
            System.out.println(
                    "HttpClient " + answer.statusCode() + " " + answer.body().strip());
        } catch (SSLHandshakeException e) {
            System.err.println(e);
            System.exit(3);
        }
    }
}
