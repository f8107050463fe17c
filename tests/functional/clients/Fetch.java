/* HTTPS GETs of a Java program that knows nothing of a proxy.
 * java Fetch url|client [password] URL...: prints the bodies; exit 3 when one fails. */
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Fetch {
    static String get(boolean client, URI uri) throws Exception {
        if (!client) {
            HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
            connection.setConnectTimeout(20000);
            connection.setReadTimeout(20000);
            return new String(connection.getInputStream().readAllBytes());
        }
        return HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(),
                HttpResponse.BodyHandlers.ofString()).body();
    }

    public static void main(String[] args) throws Exception {
        System.err.println("mine=" + System.getProperty("mine"));
        for (int i = 1; i < args.length; i++) {
            if (!args[i].startsWith("https:")) {
                System.setProperty("javax.net.ssl.trustStorePassword", args[i]);
                continue;
            }
            try {
                System.out.print(get(args[0].equals("client"), URI.create(args[i])));
            } catch (IOException e) {
                System.err.println(e);
                System.exit(3);
            }
        }
        System.exit(0); // HttpClient's threads linger
    }
}
