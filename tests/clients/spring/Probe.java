import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.ConfigurableJWTProcessor;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.net.MalformedURLException;
import java.net.URI;
import java.net.URL;
import java.util.List;
import java.util.Objects;
import java.util.Scanner;
import java.util.Set;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimNames;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtDecoders;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;
import org.springframework.security.oauth2.server.resource.introspection.SpringOpaqueTokenIntrospector;

/** Judges the tokens on standard input, one a line, as an API on Spring Security does; the beans are those of docs/spring.md. */
public class Probe {
    private final String issuer;
    private final String audience;
    private final String clientId;
    private final String clientSecret;

    Probe(String issuer, String audience, String clientId, String clientSecret) {
        this.issuer = issuer;
        this.audience = audience;
        this.clientId = clientId;
        this.clientSecret = clientSecret;
    }

    /** What Spring Boot makes of {@code issuer-uri} and {@code audiences} alone. */
    JwtDecoder bootDefault() {
        NimbusJwtDecoder decoder = (NimbusJwtDecoder) JwtDecoders.fromIssuerLocation(issuer);
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
            JwtValidators.createDefaultWithIssuer(issuer),
            new JwtClaimValidator<List<String>>(JwtClaimNames.AUD, (all) -> all != null && all.contains(audience))));
        return decoder;
    }

    /** The same, found through the OpenID Connect document. */
    JwtDecoder openid() {
        return JwtDecoders.fromOidcIssuerLocation(issuer);
    }

    JwtDecoder jwtDecoder() {
        NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer).validateType(false).build();
        decoder.setJwtValidator(JwtValidators.createAtJwtValidator()
            .issuer(issuer)
            .audience(audience)
            .validators((all) -> all.put("client_id", new JwtClaimValidator<>("client_id", Objects::nonNull)))
            .build());
        return decoder;
    }

    OpaqueTokenIntrospector introspector() {
        return SpringOpaqueTokenIntrospector.withIntrospectionUri(issuer + "/oauth/introspect")
            .clientId(clientId)
            .clientSecret(clientSecret)
            .build();
    }

    ConfigurableJWTProcessor<SecurityContext> processor() throws MalformedURLException {
        URL keys = URI.create(issuer + "/.well-known/jwks.json").toURL();
        DefaultJWTClaimsVerifier<SecurityContext> claims = new DefaultJWTClaimsVerifier<>(
            audience,
            new JWTClaimsSet.Builder().issuer(issuer).build(),
            Set.of("sub", "client_id", "iat", "exp", "jti"));
        claims.setMaxClockSkew(0);
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.ES256, JWKSourceBuilder.create(keys).build()));
        processor.setJWTClaimsSetVerifier(claims);
        return processor;
    }

    public static void main(String[] words) {
        Probe probe = new Probe(words[1], words[2], System.getenv("RS_ID"), System.getenv("RS_SECRET"));
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String text = lines.nextLine();
            try {
                System.out.println("yes " + probe.judge(words[0], text));
            } catch (Exception error) {
                System.out.println("no " + Objects.toString(error.getMessage(), "").replace('\n', ' '));
            }
        }
    }

    private Object judge(String way, String text) throws Exception {
        if (way.equals("nimbus")) {
            return processor().process(text, null).getStringListClaim("roles");
        }
        if (way.equals("introspection")) {
            return introspector().introspect(text).getAttribute("roles");
        }
        JwtDecoder decoder = switch (way) {
            case "default" -> bootDefault();
            case "openid" -> openid();
            default -> jwtDecoder();
        };
        Jwt jwt = decoder.decode(text);
        return jwt.getClaimAsStringList("roles");
    }
}
